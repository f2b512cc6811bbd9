"""The shapes of requests: what a body, a query or a batch of records must look like, or is refused."""

import hashlib
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.emulators.pinterest.refusals import RefusalError, invalid, invalid_audience

LIST_TYPES = ("EMAIL", "IDFA", "MAID", "LR_ID", "DLX_ID", "HASHED_PINNER_ID")
AUDIENCE_TYPES = ("CUSTOMER_LIST", "VISITOR", "ENGAGEMENT", "ACTALIKE", "PERSONA")
ORDERS = ("ASCENDING", "DESCENDING")
OWNERSHIPS = ("OWNED", "RECEIVED")

_ID = re.compile(r"[0-9]{1,18}")
_DIGITS = re.compile(r"[0-9]+")
_HEX = b"0123456789abcdef"


@dataclass(frozen=True)
class Field:
    """One field of a body: `check` says whether a value is allowed, `expected` which values are."""

    check: Callable[[Any], bool]
    expected: str
    required: bool = False


def is_id(value: object) -> bool:
    """A string of 1 to 18 digits."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def is_audience_id(value: object) -> bool:
    """A string of digits, however many: 5.28 states no maximum."""
    return isinstance(value, str) and _DIGITS.fullmatch(value) is not None


def _one_of(*values: str) -> tuple[Callable[[Any], bool], str]:
    return (lambda value: isinstance(value, str) and value in values), f"one of {', '.join(values)}"


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value.strip()) <= 255


_NAME = (_is_name, "a string of 1 to 255 characters")
_ID_FIELD = (is_id, "a string of at most 18 digits")
_RECORDS = Field(lambda value: isinstance(value, str), "one string, separated by commas")
_ROWS = Field(lambda value: isinstance(value, list) and bool(value), "a list of rows")
# Of CustomerListRecordRow: those that are hashed, and those that are sent as they are.
_HASHED_KEYS = frozenset({"email", "maid", "hashed_phone_number", "hashed_pinner_id"})
_PLAIN_KEYS = frozenset({"external_id", "ip_address", "user_agent", "liveramp_envelope"})
_SHA256 = re.compile(r"[0-9a-f]{64}")

# Pinterest's own client repeats the ad account here and in a list's body.
_COUNTRIES = ("US", "CA", "GB")
ACTALIKE_RULE = {
    "seed_id": Field(
        lambda value: (
            is_audience_id(value) or (isinstance(value, list) and len(value) == 1 and is_audience_id(value[0]))
        ),
        "the id of one audience",
        required=True,
    ),
    "country": Field(*_one_of(*_COUNTRIES), required=True),
    "percentage": Field(lambda value: str(value) in map(str, range(1, 11)), "1 to 10", required=True),
}
RULE = {"customer_list_id": Field(*_ID_FIELD, required=True), "ad_account_id": Field(*_ID_FIELD)}
_RULE_FIELD = (lambda value: isinstance(value, dict), "an object")

LIST_CREATE = {
    "ad_account_id": Field(*_ID_FIELD),
    "name": Field(*_NAME, required=True),
    "list_type": Field(*_one_of(*LIST_TYPES)),
    "records": _RECORDS,
    "records_v2": _ROWS,
    "is_nca": Field(lambda value: isinstance(value, bool), "true or false"),
}
LIST_UPDATE = {
    "ad_account_id": Field(*_ID_FIELD),
    "operation_type": Field(*_one_of("ADD", "REMOVE"), required=True),
    "records": _RECORDS,
    "records_v2": _ROWS,
}
_AUDIENCE = {
    "ad_account_id": Field(*_ID_FIELD),
    "description": Field(lambda value: value is None or isinstance(value, str), "a string"),
}
AUDIENCE_CREATE = _AUDIENCE | {
    "audience_type": Field(*_one_of(*AUDIENCE_TYPES), required=True),
    "name": Field(*_NAME, required=True),
    "rule": Field(*_RULE_FIELD, required=True),
}
AUDIENCE_UPDATE = _AUDIENCE | {
    # A request without this field gets a 200 from the live service [seen in recorded calls]: an UPDATE.
    "operation_type": Field(*_one_of("UPDATE", "REMOVE")),
    "audience_type": Field(*_one_of(*AUDIENCE_TYPES)),
    "name": Field(*_NAME),
    "rule": Field(*_RULE_FIELD),
}
_SCOPE = Field(lambda value: isinstance(value, str), "a string")
_CONTINUOUS = Field(*_one_of("true", "false"))
_NOT_EMPTY = (bool, "a string that is not empty")
# The forms of a token request, by grant_type. Other grants are not accepted for lists and audiences.
GRANTS: dict[str, dict[str, Field]] = {
    "refresh_token": {
        "grant_type": Field(*_one_of("refresh_token"), required=True),
        "refresh_token": Field(*_NOT_EMPTY, required=True),
        "continuous_refresh": _CONTINUOUS,
        "scope": _SCOPE,
    },
    "authorization_code": {
        "grant_type": Field(*_one_of("authorization_code"), required=True),
        "code": Field(*_NOT_EMPTY, required=True),
        "redirect_uri": Field(*_NOT_EMPTY, required=True),
        "continuous_refresh": _CONTINUOUS,
    },
}


def grant_type(form: Mapping[str, Any]) -> str:
    """Return the grant that a form asks for; raises the refusal of one that is not in GRANTS."""
    name = str(form.get("grant_type", ""))
    if name not in GRANTS:
        raise invalid(f"grant_type is one of {', '.join(GRANTS)}")
    return name


def check_fields(
    body: object, fields: Mapping[str, Field], refuse: Callable[[str], RefusalError] = invalid
) -> dict[str, Any]:
    """Return `body` if every field is known, present and of the right type; raises the refusal otherwise.

    Values are never quoted: they may be records.
    """
    if not isinstance(body, dict):
        raise refuse("the body must be an object")
    for name in body.keys() - fields.keys():
        raise refuse(f"unknown field {name!r}")
    for name, field in fields.items():
        if name not in body:
            if field.required:
                raise refuse(f"{name} is missing")
        elif not field.check(body[name]):
            raise refuse(f"{name} must be {field.expected}")
    return body


def check_rule(rule: object) -> dict[str, Any]:
    """An audience's rule with a `customer_list_id`, and maybe the `ad_account_id`."""
    return check_fields(rule, RULE, invalid_audience)


def parse_digests(records: str) -> list[tuple[bytes]]:
    """Return each of `records`, a digest of 32 bytes; raises the refusal unless every one is 64 lower-case hex digits.

    Passes in C over the whole text, since a batch is 650 KB: only commas besides hex digits, each in its place.
    """
    count = (len(records) + 1) // 65
    commas = b"," * (count - 1)
    text = records.encode("ascii", "replace")
    if len(text) != 65 * count - 1 or text[64::65] != commas or text.translate(None, _HEX) != commas:
        raise invalid("records must all be SHA-256 digests of 64 lower-case hex digits, separated by commas")
    return list(struct.iter_unpack("32s", bytes.fromhex(text.replace(b",", b"").decode())))


def parse_rows(records: list[Any]) -> list[list[bytes]]:
    """Return the keys of each row in `records_v2`, 32 bytes each; raises the refusal of an invalid row.

    A key that is not hashed is represented by a digest of its name and value.
    """
    return [[_key(name, value) for name, value in _row(row).items()] for row in records]


def _row(row: object) -> dict[str, Any]:
    if not isinstance(row, dict) or not row or not row.keys() <= _HASHED_KEYS | _PLAIN_KEYS:
        raise invalid("a row of records_v2 is an object of the keys in CustomerListRecordRow, one at least")
    return row


def _key(name: str, value: object) -> bytes:
    if not isinstance(value, str) or not value:
        raise invalid(f"{name} must be a string that is not empty")
    if name in _PLAIN_KEYS:
        return hashlib.sha256(f"{name}:{value}".encode()).digest()
    if not _SHA256.fullmatch(value):
        raise invalid(f"{name} must be a SHA-256 digest of 64 lower-case hex digits")
    return bytes.fromhex(value)


def check_query(query: Mapping[str, str], allowed: Mapping[str, Callable[[str], bool]]) -> None:
    """Raise the refusal for a parameter that is unknown or has an invalid value."""
    for name, value in query.items():
        if name not in allowed:
            raise invalid(f"unknown parameter {name!r}")
        if not allowed[name](value):
            raise invalid(f"parameter {name} has a wrong value")


def _is_page_size(value: str) -> bool:
    return value.isascii() and value.isdecimal() and 1 <= int(value) <= 250


def _is_flag(value: str) -> bool:
    return value in ("true", "false", "True", "False")


ACCOUNT_QUERY: dict[str, Callable[[str], bool]] = {
    "page_size": _is_page_size,
    "bookmark": bool,
    "include_shared_accounts": _is_flag,
}
LIST_QUERY: dict[str, Callable[[str], bool]] = {
    "page_size": _is_page_size,
    "bookmark": bool,
    "order": ORDERS.__contains__,
}
AUDIENCE_QUERY = LIST_QUERY | {"ownership_type": OWNERSHIPS.__contains__}
