"""The types of identifiers: their names, valid values, and what is hashed and sent."""

# To add a type of identifier:
# 1. Test its values with their digests and reasons (tests/unit/records/test_identifiers.py), and an export with it
#    (tests/e2e/test_create.py; a key of a row: tests/e2e/test_several_keys.py).
# 2. Add the key and the list's type to the emulator as Pinterest describes them (tests/emulators/pinterest/shapes.py).
# 3. Add it to `TYPES`. A type without a list can only be a key of a row (`records: rows`), and has no SQL. Those that
#    are not hashed stay last.
# 4. If its plain form can be recognised in a text, add it to redaction/secret.py (tests/unit/redaction/test_secret.py)
#    and tests/guard.py.
# 5. Add it to docs/reference.md ("Identifiers"), docs/privacy.md and .github/SECURITY.md.
import hashlib
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from td_pinterest_op.identifiers import phones
from td_pinterest_op.identifiers.reasons import VERSION_DEPENDENT_LETTERS, Reason

MAX_EMAIL_BYTES = 254  # RFC 5321: a path of 256, less its angle brackets
MAX_EXTERNAL_ID_CHARACTERS = 256  # our own limit: Pinterest names none

# What databases, languages and spreadsheets write for "no value".
_PLACEHOLDER_WORDS = "- -- na n/a #n/a nan nil none null (null) <null> \\n undefined unknown"

# Mailboxes of forms and fixtures, and only those that cannot be a person's: a rule for a whole domain, or for names as
# common as info@, would reject people.
_PLACEHOLDER_EMAILS = """
    test@example.com test@example.net test@example.org test@test.com email@example.com example@example.com
    noemail@noemail.com none@none.com null@null.com na@na.com unknown@unknown.com undefined@undefined.com
"""

# What a device gives whose user has switched its advertising id off.
_PLACEHOLDER_DEVICE_IDS = f"00000000-0000-0000-0000-000000000000 {'0' * 32}"

PLACEHOLDERS = frozenset(f"{_PLACEHOLDER_WORDS} {_PLACEHOLDER_EMAILS} {_PLACEHOLDER_DEVICE_IDS}".split())
"""Placeholders in lower case: compare a trimmed, lower-cased value with them."""

HASHES_OF_NOTHING = frozenset(
    hashlib.sha256(spelling.encode()).digest()
    # White space alone is what a careless pipeline hashes for an empty cell ("\n": `echo | sha256sum`).
    for value in ["", " ", "\n", *PLACEHOLDERS]
    for spelling in (value, value.upper(), value.capitalize(), value.replace("nan", "NaN"))
)
"""SHA-256 digests (32 bytes) of an empty value and of every placeholder, in the spellings people hash."""


# str.strip() removes either white space or a set. A test compares this with all of Unicode.
_WHITE_SPACE = "".join(filter(str.isspace, map(chr, range(0x3001))))
# Of Unicode's Default_Ignorable_Code_Point and its category Cf: what no font shows, without ancient and musical signs.
_INVISIBLE_HEX = (
    "ad 34f 61c 115f-1160 17b4-17b5 180b-180f 200b-200f 202a-202e 2060-206f 3164 fe00-fe0f feff ffa0 fff9-fffb e0001"
)
_INVISIBLE_RANGES = (code.split("-") for code in _INVISIBLE_HEX.split())
_INVISIBLE_CHARACTERS = "".join(
    chr(code) for ends in _INVISIBLE_RANGES for code in range(int(ends[0], 16), int(ends[-1], 16) + 1)
)
TRIMMED_CHARACTERS = _WHITE_SPACE + _INVISIBLE_CHARACTERS
"""Characters that are removed from both ends of a value."""
SEPARATOR_CHARACTERS = "," + "".join(map(chr, (*range(0x20), *range(0x7F, 0xA0)))) + TRIMMED_CHARACTERS
"""Characters that no plain identifier contains: a comma, control characters, white space, and invisible ones."""
_SEPARATOR_PATTERN = re.compile(f"[{re.escape(SEPARATOR_CHARACTERS)}]")

_DEVICE_ID_PATTERN = re.compile("[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


@dataclass(frozen=True, kw_only=True)
class IdentifierType:
    """A type of identifier, such as an e-mail address: its names, and the functions that check its values.

    `recognise` is fast: it takes many lines that end with a newline, and returns for each the text to hash if it is
    plainly valid, else b"" (by default for all). `normalise` decides about the others: it takes a trimmed text and a
    country, and returns the text to hash, or the reason for a rejection. Callers exclude placeholders. The SQL has the
    variables of `build_hashing_sql`.
    """

    name: str  # also the name of its column in a result, such as email
    key: str  # its name in a record with several keys (CustomerListRecordRow of the API description)
    list_type: str = ""  # that of its customer lists; "" if it is sent only in records with several keys
    normalise: Callable[[str, str | None], str | Reason]
    recognise: Callable[[bytes], list[bytes]] = lambda lines: [b""] * lines.count(b"\n")
    is_hashed: bool = True  # a digest is sent, and a value may be hashed already
    sql_rejections: tuple[tuple[str, Reason], ...] = ()  # Trino conditions; the first that holds counts
    sql_normal: str = ""  # the text to hash; "" if the warehouse cannot hash the type


def _normalise_email(text: str, _country: str | None) -> str | Reason:
    normal = text.lower()
    if len(normal.encode()) > MAX_EMAIL_BYTES:
        return Reason.TOO_LONG
    if _SEPARATOR_PATTERN.search(normal):
        return Reason.CONTAINS_SEPARATOR
    local, _, domain = normal.partition("@")
    labels = domain.split(".")
    well_formed = local and "@" not in domain and len(labels) > 1 and all(labels)
    return normal if well_formed else Reason.NOT_AN_EMAIL


def _normalise_device_id(text: str, _country: str | None, *, letter_case: Callable[[str], str]) -> str | Reason:
    # Before its case is changed: upper() makes two hex digits of the ligature \ufb00.
    if _SEPARATOR_PATTERN.search(text):
        return Reason.CONTAINS_SEPARATOR
    return letter_case(text) if _DEVICE_ID_PATTERN.fullmatch(text) else Reason.NOT_A_DEVICE_ID


def _normalise_external_id(text: str, _country: str | None) -> str | Reason:
    if len(text) > MAX_EXTERNAL_ID_CHARACTERS:
        return Reason.TOO_LONG
    return Reason.CONTAINS_SEPARATOR if _SEPARATOR_PATTERN.search(text) else text


# Repeats never have to backtrack: possessive quantifiers (Python 3.11) save a sixth of the time.
_POSSESSIVE_PLUS = "+" if sys.version_info >= (3, 11) else ""
_LOCAL_PART_CHARACTER = r"[^\x00-\x20,@\x7f-\xff]"
_DOMAIN_LABEL_CHARACTER = r"[^\x00-\x20,.@\x7f-\xff]"
# The bounds add up to no more than 254 bytes; longer addresses take the slow way.
_DOMAIN_LABEL = rf"{_DOMAIN_LABEL_CHARACTER}{{1,63}}{_POSSESSIVE_PLUS}"
_SIMPLE_EMAIL_PATTERN = (
    rf"{_LOCAL_PART_CHARACTER}{{1,64}}{_POSSESSIVE_PLUS}@{_DOMAIN_LABEL}\.{_DOMAIN_LABEL}"
    rf"(?:\.{_DOMAIN_LABEL_CHARACTER}{{1,29}}{_POSSESSIVE_PLUS}){{0,2}}{_POSSESSIVE_PLUS}"
)
_PLAIN_EXTERNAL_ID_PATTERN = rf"[^\x00-\x20,\x7f-\xff]{{1,{MAX_EXTERNAL_ID_CHARACTERS}}}{_POSSESSIVE_PLUS}"


def _recognise_each_line(
    lines: bytes, *, pattern: re.Pattern[bytes], letter_case: Callable[[bytes], bytes] = bytes
) -> list[bytes]:
    """Do what `IdentifierType.recognise` does, by a `pattern` that matches consecutive valid lines."""
    lines = letter_case(lines)
    values = lines.split(b"\n")[:-1]
    row = position = 0
    while (run := pattern.match(lines, position)) and run.end() < len(lines):  # an empty run matches, if nothing else
        row += lines.count(b"\n", position, run.end())
        values[row] = b""
        row += 1
        position = lines.index(b"\n", run.end()) + 1
    return values


_email_lines, _device_id_lines, _external_id_lines = (
    re.compile(rf"(?:{line}\n)*{_POSSESSIVE_PLUS}".encode())
    for line in (_SIMPLE_EMAIL_PATTERN, _DEVICE_ID_PATTERN.pattern, _PLAIN_EXTERNAL_ID_PATTERN)
)

_EMAIL_SQL_PATTERN = r"\A[^@]+@[^@.]+(\.[^@.]+)+\z"
_DEVICE_ID_SQL_PATTERN = r"\A[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\z"
_SEPARATOR_SQL_REJECTION = ("regexp_like($text, '$separators')", Reason.CONTAINS_SEPARATOR)

EMAIL = IdentifierType(
    name="email",
    key="email",
    list_type="EMAIL",
    normalise=_normalise_email,
    recognise=partial(_recognise_each_line, pattern=_email_lines, letter_case=bytes.lower),
    sql_rejections=(
        (f"length(to_hex(to_utf8($lowered))) > {2 * MAX_EMAIL_BYTES}", Reason.TOO_LONG),
        _SEPARATOR_SQL_REJECTION,
        (f"NOT regexp_like($lowered, '{_EMAIL_SQL_PATTERN}')", Reason.NOT_AN_EMAIL),
        (f"regexp_like($text, '{VERSION_DEPENDENT_LETTERS}')", Reason.UNSURE),
    ),
    sql_normal="$lowered",
)
MAID = IdentifierType(
    name="maid",
    key="maid",
    list_type="MAID",
    normalise=partial(_normalise_device_id, letter_case=str.lower),
    recognise=partial(_recognise_each_line, pattern=_device_id_lines, letter_case=bytes.lower),
    sql_rejections=(
        _SEPARATOR_SQL_REJECTION,
        (f"NOT regexp_like($text, '{_DEVICE_ID_SQL_PATTERN}')", Reason.NOT_A_DEVICE_ID),
    ),
    sql_normal="$lowered",
)
IDFA = replace(
    MAID,
    name="idfa",
    list_type="IDFA",
    normalise=partial(_normalise_device_id, letter_case=str.upper),
    recognise=partial(_recognise_each_line, pattern=_device_id_lines, letter_case=bytes.upper),
    sql_normal="upper($text)",
)
PHONE = IdentifierType(name="phone", key="hashed_phone_number", normalise=phones.normalise_phone)
EXTERNAL_ID = IdentifierType(
    name="external_id",
    key="external_id",
    normalise=_normalise_external_id,
    recognise=partial(_recognise_each_line, pattern=_external_id_lines),
    is_hashed=False,
)

TYPES: Mapping[str, IdentifierType] = {type_.name: type_ for type_ in (EMAIL, MAID, IDFA, PHONE, EXTERNAL_ID)}
"""All types, by name. The keys of a record are in this order; the unhashed one comes last."""
CUSTOMER_LIST_TYPES: Mapping[str, IdentifierType] = {name: type_ for name, type_ in TYPES.items() if type_.list_type}
"""The types that can be sent alone."""
ROW_ONLY_TYPE_NAMES = [name for name in TYPES if name not in CUSTOMER_LIST_TYPES]
"""The types that can only be sent in records with several keys."""


def join_with_or(names: Iterable[str]) -> str:
    """Return names as a phrase: `a, b or c`."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last
