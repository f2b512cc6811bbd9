"""The types of identifiers: the name of the column, which values are valid, what is hashed, and how it is sent."""

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from td_pinterest_op.identifiers import phones
from td_pinterest_op.identifiers.rules import SEPARATOR, Reason

MAX_EMAIL_BYTES = 254  # RFC 5321: a path of 256, less its angle brackets
MAX_EXTERNAL_ID_CHARACTERS = 256  # our own limit: export.md names it, Pinterest does not

_DEVICE_ID = re.compile("[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentifierType:
    """A type of identifier, such as an e-mail address: its names, and the functions that check its values.

    `name`: of its column. `key`: in a record with several keys (CustomerListRecordRow of the API description).
    `list_type`: of a customer list for it; "": it can be sent in such a record only.

    `normalise`: a trimmed text that is no placeholder, and a country → the text to hash, or the reason for a rejection.
    `recognise`: lines with their newlines → for each the text to hash, or b"" for `normalise` to decide. It may only
    recognise what is plainly valid, or a placeholder. `is_hashed`: whether a digest is sent, and a value may be hashed
    already.

    `sql_rejections`: conditions in Trino's SQL, and reasons; the first one that a value meets rejects it. `sql_normal`:
    the text to hash, "" where a warehouse cannot hash it. Their placeholders: see `build_hashing_sql`.
    """

    name: str
    key: str
    list_type: str = ""
    normalise: Callable[[str, str | None], str | Reason]
    recognise: Callable[[bytes], list[bytes]]
    is_hashed: bool = True
    sql_rejections: tuple[tuple[str, Reason], ...] = ()
    sql_normal: str = ""


def _normalise_email(text: str, _country: str | None) -> str | Reason:
    normal = text.lower()
    if len(normal.encode()) > MAX_EMAIL_BYTES:
        return Reason.TOO_LONG
    if SEPARATOR.search(normal):
        return Reason.CONTAINS_SEPARATOR
    local, _, domain = normal.partition("@")
    labels = domain.split(".")
    well_formed = local and "@" not in domain and len(labels) > 1 and all(labels)
    return normal if well_formed else Reason.NOT_AN_EMAIL


def _normalise_device_id(text: str, _country: str | None, *, letter_case: Callable[[str], str]) -> str | Reason:
    # Before its case is changed: upper() makes two hex digits of the ligature \ufb00.
    if SEPARATOR.search(text):
        return Reason.CONTAINS_SEPARATOR
    return letter_case(text) if _DEVICE_ID.fullmatch(text) else Reason.NOT_A_DEVICE_ID


def _normalise_external_id(text: str, _country: str | None) -> str | Reason:
    if len(text) > MAX_EXTERNAL_ID_CHARACTERS:
        return Reason.TOO_LONG
    return Reason.CONTAINS_SEPARATOR if SEPARATOR.search(text) else text


# For blocks, which is faster: a pattern matches a run of plainly valid lines; `normalise` decides about all others.
# Repeats never have to backtrack: possessive quantifiers (Python 3.11) save a sixth of the time.
_POSSESSIVE = "+" if sys.version_info >= (3, 11) else ""
_LOCAL = r"[^\x00-\x20,@\x7f-\xff]"
_LABEL = r"[^\x00-\x20,.@\x7f-\xff]"
# The bounds add up to no more than 254 bytes; longer addresses take the slow way.
_PLAIN_EMAIL = (
    rf"{_LOCAL}{{1,64}}{_POSSESSIVE}@{_LABEL}{{1,63}}{_POSSESSIVE}\.{_LABEL}{{1,63}}{_POSSESSIVE}"
    rf"(?:\.{_LABEL}{{1,29}}{_POSSESSIVE}){{0,2}}{_POSSESSIVE}"
)
_PLAIN_EXTERNAL_ID = rf"[^\x00-\x20,\x7f-\xff]{{1,{MAX_EXTERNAL_ID_CHARACTERS}}}{_POSSESSIVE}"


def _recognise_lines(
    lines: bytes, *, pattern: re.Pattern[bytes], letter_case: Callable[[bytes], bytes] = bytes
) -> list[bytes]:
    """Return each line that a fast check accepts, in the given letter case, b"" for any other line.

    `pattern` matches as many consecutive valid lines as there are.
    """
    lines = letter_case(lines)
    values = lines.split(b"\n")[:-1]
    row = position = 0
    while (run := pattern.match(lines, position)) and run.end() < len(lines):  # an empty run matches, if nothing else
        row += lines.count(b"\n", position, run.end())
        values[row] = b""
        row += 1
        position = lines.index(b"\n", run.end()) + 1
    return values


_emails, _device_ids, _external_ids = (
    re.compile(rf"(?:{line}\n)*{_POSSESSIVE}".encode())
    for line in (_PLAIN_EMAIL, _DEVICE_ID.pattern, _PLAIN_EXTERNAL_ID)
)

UNSURE = Reason.UNSURE.value
# Capital sigma has two lower cases. The others are letters (with a case) that Unicode has since version 14, or that
# a later version may add to their block: Python, Java and the warehouse need not know the same version.
UNSURE_LETTERS = r"[\x{3a3}\x{2c2f}\x{2c5f}\x{a7c0}\x{a7c1}\x{a7cb}-\x{a7dc}\x{10570}-\x{105bf}\x{10d50}-\x{10d85}]"
_LABELS = r"\A[^@]+@[^@.]+(\.[^@.]+)+\z"
_DEVICE_ID_SQL = r"\A[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\z"
_HAS_SEPARATOR = ("regexp_like($text, '$separators')", Reason.CONTAINS_SEPARATOR)

EMAIL = IdentifierType(
    name="email",
    key="email",
    list_type="EMAIL",
    normalise=_normalise_email,
    recognise=partial(_recognise_lines, pattern=_emails, letter_case=bytes.lower),
    sql_rejections=(
        (f"length(to_hex(to_utf8($lowered))) > {2 * MAX_EMAIL_BYTES}", Reason.TOO_LONG),
        _HAS_SEPARATOR,
        (f"NOT regexp_like($lowered, '{_LABELS}')", Reason.NOT_AN_EMAIL),
        (f"regexp_like($text, '{UNSURE_LETTERS}')", Reason.UNSURE),
    ),
    sql_normal="$lowered",
)
MAID = IdentifierType(
    name="maid",
    key="maid",
    list_type="MAID",
    normalise=partial(_normalise_device_id, letter_case=str.lower),
    recognise=partial(_recognise_lines, pattern=_device_ids, letter_case=bytes.lower),
    sql_rejections=(_HAS_SEPARATOR, (f"NOT regexp_like($text, '{_DEVICE_ID_SQL}')", Reason.NOT_A_DEVICE_ID)),
    sql_normal="$lowered",
)
IDFA = replace(
    MAID,
    name="idfa",
    list_type="IDFA",
    normalise=partial(_normalise_device_id, letter_case=str.upper),
    recognise=partial(_recognise_lines, pattern=_device_ids, letter_case=bytes.upper),
    sql_normal="upper($text)",
)
PHONE = IdentifierType(
    name="phone",
    key="hashed_phone_number",
    normalise=phones.normalise_phone,
    recognise=phones.recognise_phones,
)
EXTERNAL_ID = IdentifierType(
    name="external_id",
    key="external_id",
    normalise=_normalise_external_id,
    recognise=partial(_recognise_lines, pattern=_external_ids),
    is_hashed=False,
)

TYPES: Mapping[str, IdentifierType] = {type_.name: type_ for type_ in (EMAIL, MAID, IDFA, PHONE, EXTERNAL_ID)}
"""All types of identifiers, by column name. The keys of a record are in this order; the unhashed one comes last."""
LIST_TYPES: Mapping[str, IdentifierType] = {name: type_ for name, type_ in TYPES.items() if type_.list_type}
"""The types whose identifiers can be sent alone."""
ROW_ONLY_NAMES = [name for name in TYPES if name not in LIST_TYPES]
"""The names of the types that can only be sent as a key of a record with several keys."""


def join_with_or(names: Iterable[str]) -> str:
    """Return names as a phrase: `a, b or c`."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last
