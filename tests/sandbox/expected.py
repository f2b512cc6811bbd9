"""Who should be in an audience, from a file of the user's; compared by number, never shown."""

import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from td_pinterest_op.identifiers.identifier_types import CUSTOMER_LIST_TYPES, TYPES
from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.records.digests import compute_identifier

_DIGEST = re.compile(r"[0-9A-Fa-f]{64}")
_MOST = 10


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """`audience`: an id or a name, "" for the only one. `lines`: the first line of each digest (hex), from 1."""

    audience: str
    file: str
    lines: dict[str, int]

    def differences(self, held: AbstractSet[str]) -> list[str]:
        """Return what is wrong, a sentence each; nothing if exactly the expected people are there."""
        missing = self.lines.keys() - held
        surplus = len(held - self.lines.keys())
        sentences = []
        if missing:
            numbers = sorted(self.lines[digest] for digest in missing)
            shown = ", ".join(map(str, numbers[:_MOST])) + (", …" if len(numbers) > _MOST else "")
            lines = f"line{'' if len(numbers) == 1 else 's'} {shown}"
            sentences.append(f"{len(missing):,} missing ({lines} of {self.file})")
        if surplus:
            sentences.append(f"{surplus:,} too many, which {self.file} does not have")
        return sentences


def read_expectation(option: str) -> Expectation:
    """Read `FILE` or `AUDIENCE=FILE`: a line for each person, a digest or an identifier.

    A first line may name their type (such as email); else their form shows it. Raises ValueError, which names the
    line.
    """
    audience, _, name = option.rpartition("=")
    path = Path(name)
    lines = [line.strip().strip('"') for line in path.read_text(encoding="utf-8-sig").splitlines()]
    column = lines[0].lower() if lines and lines[0].lower() in CUSTOMER_LIST_TYPES else ""
    numbers: dict[str, int] = {}
    for number, value in enumerate(lines, 1):
        if value and not (column and number == 1):
            numbers.setdefault(_digest_of(value, column, where=f"line {number} of {path}"), number)
    return Expectation(audience=audience, file=path.name, lines=numbers)


def _digest_of(value: str, column: str, *, where: str) -> str:
    if _DIGEST.fullmatch(value):
        return value.lower()
    type_ = column or ("email" if "@" in value else "idfa" if value.isupper() else "maid")
    digest = compute_identifier(TYPES[type_], value.encode())
    if not isinstance(digest, Reason):
        return digest.hex()
    raise ValueError(f"{where} is no {type_}: {digest.value}")
