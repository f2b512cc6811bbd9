import hashlib
import sys
import unicodedata
from collections.abc import Mapping, Sequence

import pytest

from td_pinterest_op.identifiers.identifier_types import (
    _WHITE_SPACE,
    CUSTOMER_LIST_TYPES,
    EMAIL,
    IDFA,
    MAID,
    PLACEHOLDERS,
    TRIMMED_CHARACTERS,
    IdentifierType,
)
from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.records.columns import IdentifierColumn
from td_pinterest_op.records.digests import ColumnIdentifiers, compute_identifier, compute_identifiers

UUID = "0123abcd-89ef-4cde-8f01-23456789abcd"
HASH = hashlib.sha256(b"ann@lee.org").hexdigest()


def sha(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def both_ways(type_: IdentifierType, value: object) -> bytes | Reason:
    """What happens to a value, having made sure that a block of it and of its like says the same."""
    alone = compute_identifier(type_, value)
    column = IdentifierColumn(name="", type=type_, position=0)
    as_block = ColumnIdentifiers(
        column=column,
        identifiers=[b"" if isinstance(alone, Reason) else alone] * 3,
        rejected=[(row, alone) for row in range(3)] if isinstance(alone, Reason) else [],
        hashed_count=3 * (isinstance(alone, bytes) and isinstance(value, bytes) and HASH.encode() in value.lower()),
    )
    assert as_block == compute_identifiers(column, [value] * 3)
    return alone


@pytest.mark.parametrize(
    ("value", "hashed"),
    [
        ("ann@lee.org", "ann@lee.org"),
        ("Ann@Lee.ORG", "ann@lee.org"),
        ("  ann@lee.org\t", "ann@lee.org"),
        ("ann@lee.org\r\n", "ann@lee.org"),
        ("\ufeffann@lee.org", "ann@lee.org"),
        ("\u00a0\u200bann@lee.org\u200d\u2060\u3000", "ann@lee.org"),
        ("\u00ad\u061cann@lee.org\u034f\ufe0f", "ann@lee.org"),
        ("\u3164\ufff9ann@lee.org\u206a\uffa0\U000e0001", "ann@lee.org"),
        ("ann.b+tag@lee.org", "ann.b+tag@lee.org"),
        ("ann..b.@lee.co.uk", "ann..b.@lee.co.uk"),
        ("ann@a.b.c.d.e.f.lee.org", "ann@a.b.c.d.e.f.lee.org"),
        ("ann'o!#$%&*/=?^_`{|}~-;<>()@lee.org", "ann'o!#$%&*/=?^_`{|}~-;<>()@lee.org"),
        ("JOSÉ@EXÄMPLE.COM", "josé@exämple.com"),
        ("ΑΝΝΑ@ΠΑΡΆΔΕΙΓΜΑ.GR", "αννα@παράδειγμα.gr"),
        ("\U0001f600@lee.org", "\U0001f600@lee.org"),
        ("a" * 246 + "@lee.org", "a" * 246 + "@lee.org"),
        ("user@example.com", "user@example.com"),
    ],
)
def test_a_plain_email_is_trimmed_lower_cased_and_hashed_and_nothing_else(value: str, hashed: str) -> None:
    assert sha(hashed) == both_ways(EMAIL, value.encode())


@pytest.mark.parametrize("value", [UUID, UUID.upper(), f" {UUID}\n", UUID.title()])
@pytest.mark.parametrize(("type_", "hashed"), [(MAID, UUID.lower()), (IDFA, UUID.upper())])
def test_an_android_id_is_hashed_in_lower_case_and_an_idfa_in_upper_case(
    type_: IdentifierType, value: str, hashed: str
) -> None:
    assert sha(hashed) == both_ways(type_, value.encode())


@pytest.mark.parametrize("type_", list(CUSTOMER_LIST_TYPES.values()))
@pytest.mark.parametrize("value", [HASH, HASH.upper(), HASH[:32] + HASH[32:].upper(), f"\t{HASH}\r\n", f"\ufeff{HASH}"])
def test_a_digest_of_any_kind_and_case_is_sent_as_it_is(type_: IdentifierType, value: str) -> None:
    assert bytes.fromhex(HASH) == both_ways(type_, value.encode())


def by_reason(table: Mapping[Reason, Sequence[object]]) -> list[tuple[object, Reason]]:
    return [(value, reason) for reason, values in table.items() for value in values]


OF_ANY_KIND: Mapping[Reason, Sequence[object]] = {
    Reason.NULL: [None],
    Reason.NOT_A_STRING: [0, 7, 1.5, True, [b"ann@lee.org"], {}, "ann@lee.org"],
    Reason.BAD_ENCODING: [b"ann\xff@lee.org", b"\xed\xa0\x80@lee.org"],
    Reason.EMPTY: [b"", b" \t\r\n", "\ufeff\u200b\u00a0\u2003".encode()],
    Reason.PLACEHOLDER: [
        *(b"null", b" None ", b"N/A", b"-", b"\\N", b"Test@Example.com"),
        *(b"00000000-0000-0000-0000-000000000000", b"0" * 32),
    ],
    Reason.HASH_OF_NOTHING: [sha("").hex().encode(), sha("").hex().upper().encode(), sha("NaN").hex().encode()],
    Reason.UNSUPPORTED_HASH: [
        hashlib.md5(b"ann@lee.org").hexdigest().encode(),
        hashlib.sha1(b"ann@lee.org").hexdigest().upper().encode(),
        UUID.replace("-", "").encode(),
    ],
    Reason.CONTAINS_SEPARATOR: [
        *(b"ann@lee.org,bob@lee.org", f"{UUID},{UUID}".encode(), f"{UUID}\n{UUID}".encode()),
        f"{HASH}\n{HASH}".encode(),
    ],
}


@pytest.mark.parametrize("type_", list(CUSTOMER_LIST_TYPES.values()))
@pytest.mark.parametrize(("value", "reason"), by_reason(OF_ANY_KIND))
def test_a_value_that_is_no_identifier_of_any_kind_has_its_own_reason(
    type_: IdentifierType, value: object, reason: Reason
) -> None:
    assert reason == both_ways(type_, value)


MALFORMED_EMAILS: Mapping[Reason, Sequence[str]] = {
    Reason.NOT_AN_EMAIL: [
        *("ann", "@lee.org", "ann@", "ann@lee", "ann@lee.", "ann@.org", "@", "ann@lee..org", "ann@@lee.org"),
        *("a@b@lee.org", "ann@lee.org.", UUID, "ann＠lee.org", HASH[:-1], HASH + "0", HASH[:-1] + "g"),
    ],
    Reason.TOO_LONG: [
        *("a" * 247 + "@lee.org", "é" * 124 + "@lee.org", "x" * 300),
        " " + "a" * 64 + "@" + ".".join(["b" * 63] * 3) + " ",
    ],
    Reason.CONTAINS_SEPARATOR: [
        *(f"an{char}n@lee.org" for char in " ,\t\n\r\0\x1f\x7f\x85\u00a0\u200b\u2028\ufeff\u00ad\u061c\u034f\ufe0f"),
        *(
            f"ann@le{char}e.org"
            for char in " ,\t\n\r\0\x1f\x7f\x9f\u3000\u200d\u2060\u202e\u3164\u115f\ufffb\U000e0001"
        ),
        *("\x01ann@lee.org", "ann@lee.org\nbob@lee.org", "ann@lee.org\n" + HASH),
    ],
}


@pytest.mark.parametrize(("value", "reason"), by_reason(MALFORMED_EMAILS))
def test_a_malformed_email_has_a_reason(value: str, reason: Reason) -> None:
    assert reason == both_ways(EMAIL, value.encode())


MALFORMED_DEVICE_IDS: Mapping[Reason, Sequence[str]] = {
    Reason.NOT_A_DEVICE_ID: [
        *(UUID[:-1], UUID + "0", UUID.replace("a", "g"), UUID.replace("-", "_"), "{" + UUID + "}"),
        *("0123abcd8-9ef-4cde-8f01-23456789abcd", UUID.replace("0", "０"), "ann@lee.org", "x" * 300),
        "\ufb00" + UUID[2:],  # a ligature of two hex digits, in upper case
    ],
    Reason.CONTAINS_SEPARATOR: [UUID.replace("-", " ")],
}


@pytest.mark.parametrize("type_", [MAID, IDFA])
@pytest.mark.parametrize(("value", "reason"), by_reason(MALFORMED_DEVICE_IDS))
def test_a_malformed_device_id_has_a_reason(type_: IdentifierType, value: str, reason: Reason) -> None:
    assert reason == both_ways(type_, value.encode())


def test_an_address_that_grows_past_the_limit_in_lower_case_is_too_long() -> None:
    value = "İ" * 100 + "@" + "a" * 49 + ".org"  # two bytes each, three in lower case
    assert len(value.encode()) == 254
    assert both_ways(EMAIL, value.encode()) is Reason.TOO_LONG


def test_every_placeholder_is_refused_plain_and_hashed() -> None:
    values = [word.encode() for word in sorted(PLACEHOLDERS)]
    hashes = [hashlib.sha256(spelt).hexdigest().encode() for value in values for spelt in (value, value.upper())]
    for type_ in CUSTOMER_LIST_TYPES.values():
        assert {both_ways(type_, value) for value in values} == {Reason.PLACEHOLDER}
        assert {both_ways(type_, value) for value in hashes} == {Reason.HASH_OF_NOTHING}


def test_all_white_space_of_unicode_is_trimmed() -> None:
    expected = {chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()}
    assert set(_WHITE_SPACE) == expected


def test_invisible_format_characters_of_the_basic_plane_are_trimmed() -> None:
    shown = {*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2}  # marks that enclose or precede a number
    codes = {code for code in range(0x10000) if unicodedata.category(chr(code)) == "Cf"}
    assert codes - shown - set(map(ord, TRIMMED_CHARACTERS)) == set()
    assert {code for code in map(ord, TRIMMED_CHARACTERS) if chr(code).isalnum()} - {
        0x115F,
        0x1160,
        0x3164,
        0xFFA0,
    } == set()
