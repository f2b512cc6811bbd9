"""Phone numbers: brought to E.164 digits, hashed, or rejected with a reason."""

from __future__ import annotations

import hashlib
import sys

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from td_pinterest_op.errors import WorkflowError
from td_pinterest_op.records import phones
from td_pinterest_op.records.identifiers import Reason
from td_pinterest_op.records.phones import phone_digest_or_reason

HASH = hashlib.sha256(b"12025550143").hexdigest()


def sha(digits: str) -> bytes:
    return hashlib.sha256(digits.encode()).digest()


@pytest.mark.parametrize(
    ("number", "country", "digits"),
    [
        ("+12025550143", None, "12025550143"),
        ("+1 202-555-0143", None, "12025550143"),
        (" +1 (202) 555.0143\t", None, "12025550143"),
        ("tel:+1-202-555-0143", None, "12025550143"),
        ("+1 202 555 0143 ext. 12", None, "12025550143"),
        ("+12025550143;ext=12", None, "12025550143"),
        ("202-555-0143 x12", "US", "12025550143"),
        ("(202) 555-0143", "US", "12025550143"),
        ("1 202 555 0143", "US", "12025550143"),
        ("202/555/0143", "US", "12025550143"),
        ("2025550143", "CA", "12025550143"),
        ("+1 202 555 0143", "DE", "12025550143"),
        ("011 49 30 123456", "US", "4930123456"),
        ("1-800-FLOWERS", "US", "18003569377"),
        ("0049 30 123456", None, "4930123456"),
        ("0049 30 123456", "US", "4930123456"),
        ("+49 (0)30 123456", None, "4930123456"),
        ("030 123456", "DE", "4930123456"),
        ("+49 151 23456789", None, "4915123456789"),
        ("0151/23456789", "DE", "4915123456789"),
        ("+44 20 7946 0958", None, "442079460958"),
        ("+44 (0)20 7946 0958", None, "442079460958"),
        ("020 7946 0958", "GB", "442079460958"),
        ("+39 06 6982 0000", None, "390669820000"),
        ("06 6982 0000", "IT", "390669820000"),
        ("+33 6 12 34 56 78", None, "33612345678"),
        ("06 12 34 56 78", "FR", "33612345678"),
        ("00 33 6 12 34 56 78", "FR", "33612345678"),
        ("+81 90-1234-5678", None, "819012345678"),
        ("090-1234-5678", "JP", "819012345678"),
        ("０９０−１２３４−５６７８", "JP", "819012345678"),
        ("＋81 90 1234 5678", None, "819012345678"),
        ("+61 412 345 678", None, "61412345678"),
        ("0412 345 678", "AU", "61412345678"),
        ("+55 11 96123-4567", None, "5511961234567"),
        ("+1 242-555-0143".replace("555", "322"), None, "12423220143"),
        ("\u200e+12025550143\u200f", None, "12025550143"),
        (HASH, None, "12025550143"),
        (HASH.upper(), "US", "12025550143"),
    ],
)
def test_a_number_is_brought_to_its_digits_with_country_code_and_hashed(
    number: str, country: str | None, digits: str
) -> None:
    assert sha(digits) == phone_digest_or_reason(number.encode(), default_country=country)


@pytest.mark.parametrize(
    ("value", "country", "reason"),
    [
        (None, "US", Reason.NULL),
        (2025550143, "US", Reason.NOT_A_STRING),
        (b"\xff202", "US", Reason.BAD_ENCODING),
        (b"", "US", Reason.EMPTY),
        (b" \t", "US", Reason.EMPTY),
        (b"n/a", "US", Reason.PLACEHOLDER),
        (b"unknown", None, Reason.PLACEHOLDER),
        (hashlib.sha256(b"").hexdigest().encode(), "US", Reason.HASH_OF_NOTHING),
        (hashlib.md5(b"12025550143").hexdigest().encode(), "US", Reason.UNSUPPORTED_HASH),
        (hashlib.sha1(b"12025550143").hexdigest().encode(), "US", Reason.UNSUPPORTED_HASH),
        (b"202 555 0143", None, Reason.NO_COUNTRY),
        (b"1 202 555 0143", None, Reason.NO_COUNTRY),
        (b"(0) 30 123456", None, Reason.NO_COUNTRY),
        (b"no phone", None, Reason.NOT_A_PHONE_NUMBER),
        (b"no phone", "US", Reason.NOT_A_PHONE_NUMBER),
        (b"ann", "US", Reason.NOT_A_PHONE_NUMBER),
        (b"+", None, Reason.NOT_A_PHONE_NUMBER),
        (b"+1", None, Reason.NOT_A_PHONE_NUMBER),
        (b"+999123456789", None, Reason.NOT_A_PHONE_NUMBER),
        (b"+0012025550143", None, Reason.NOT_A_PHONE_NUMBER),
        (b"00", None, Reason.NOT_A_PHONE_NUMBER),
        (b"0000000000", "US", Reason.NOT_A_PHONE_NUMBER),
        (b"1111111111", "US", Reason.NOT_A_PHONE_NUMBER),
        (b"5550100", "US", Reason.NOT_A_PHONE_NUMBER),
        (b"12345", "US", Reason.NOT_A_PHONE_NUMBER),
        (b"+1 202 555 01", None, Reason.NOT_A_PHONE_NUMBER),
        (b"+1 202 555 0143 999", None, Reason.NOT_A_PHONE_NUMBER),
        (b"+49 1", None, Reason.NOT_A_PHONE_NUMBER),
        (b"2025550143,2025550144", "US", Reason.NOT_A_PHONE_NUMBER),
        (b"+1" * 100, "US", Reason.TOO_LONG),
    ],
)
def test_any_other_value_has_a_reason(value: object, country: str | None, reason: Reason) -> None:
    assert reason is phone_digest_or_reason(value, default_country=country)


@given(
    st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS)),
    st.sampled_from([phonenumbers.PhoneNumberFormat.NATIONAL, phonenumbers.PhoneNumberFormat.INTERNATIONAL]),
)
def test_every_countrys_example_reads_alike_in_every_form(country: str, form: int) -> None:
    example = phonenumbers.example_number(country)
    assert example is not None
    written = phonenumbers.format_number(example, form)
    digits = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164).lstrip("+")
    assert sha(digits) == phone_digest_or_reason(written.encode(), default_country=country)


@given(st.binary(max_size=100) | st.text(max_size=100).map(str.encode), st.sampled_from([None, "US", "DE"]))
def test_it_never_raises(value: bytes, country: str | None) -> None:
    answer = phone_digest_or_reason(value, default_country=country)
    assert isinstance(answer, Reason) or 32 == len(answer)


def test_without_the_library_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    phones._library.cache_clear()
    monkeypatch.setitem(sys.modules, "phonenumbers", None)
    with pytest.raises(WorkflowError, match="needs the package phonenumbers"):
        phone_digest_or_reason(b"+12025550143", default_country=None)
    monkeypatch.undo()
    phones._library.cache_clear()
