"""Who should be in an audience, from a file of the user's; compared by number, never shown."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path

from td_pinterest_op.identifiers.rules import Reason
from td_pinterest_op.identifiers.types import TYPES
from td_pinterest_op.records.digests import key_or_reason

_DIGEST = re.compile(r"[0-9A-Fa-f]{64}")
_MOST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """`audience`: an id or a name, None for the only one. `lines`: where each digest (hex) stands first, from 1."""

    audience: str | None
    file: str
    lines: dict[str, int]

    def compared(self, held: AbstractSet[str]) -> list[str]:
        """What is wrong, a sentence each; nothing if exactly those who are expected are there."""
        missing = sorted(line for digest, line in self.lines.items() if digest not in held)
        many = len(held - self.lines.keys())
        shown = ", ".join(map(str, missing[:_MOST])) + (", …" if len(missing) > _MOST else "")
        sentences = [f"{len(missing):,} missing (lines {shown} of {self.file})"] if missing else []
        return sentences + ([f"{many:,} too many, which {self.file} does not have"] if many else [])


def read(given: str) -> Expected:
    """`FILE` or `AUDIENCE=FILE`: a line for each person, a digest or an identifier.

    A first line may name their type (email, maid, idfa); else it is seen by their form. Raises ValueError: it names the
    line.
    """
    audience, equals, name = given.rpartition("=")
    path = Path(name)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read ({type(error).__name__})") from None
    named = lines[0].strip().strip('"').lower() if lines else ""
    column = named if named in ("email", "maid", "idfa", "digest") else None
    numbers: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        value = line.strip().strip('"')
        if value and not (column and number == 1):
            numbers.setdefault(_digest(value, column, where=f"line {number} of {path}"), number)
    return Expected(audience=audience if equals else None, file=path.name, lines=numbers)


def _digest(value: str, column: str | None, *, where: str) -> str:
    if _DIGEST.fullmatch(value):
        return value.lower()
    type_ = column or ("email" if "@" in value else "idfa" if value.isupper() else "maid")
    if type_ == "digest":
        raise ValueError(f"{where} is no digest of 64 hex digits")
    digest = key_or_reason(TYPES[type_], value.encode())
    if not isinstance(digest, Reason):
        return digest.hex()
    raise ValueError(f"{where} is no {type_}: {digest.value}")
