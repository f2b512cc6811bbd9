"""Phone numbers: brought to E.164 digits, hashed, or rejected with a reason."""

import hashlib
import sys
from collections.abc import Mapping, Sequence

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from td_pinterest_op.errors import WorkflowError
from td_pinterest_op.identifiers import phones
from td_pinterest_op.identifiers.identifier_types import PHONE
from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.records.digests import compute_identifier

HASH = hashlib.sha256(b"12025550143").hexdigest()


def sha(digits: str) -> bytes:
    return hashlib.sha256(digits.encode()).digest()


@pytest.mark.parametrize(
    ("number", "country", "digits"),
    [
        ("+12025550143", None, "12025550143"),
        ("+1 202-555-0143", None, "12025550143"),
        ("tel:+1-202-555-0143", None, "12025550143"),
        ("+1 202 555 0143 ext. 12", None, "12025550143"),
        ("202-555-0143 x12", "US", "12025550143"),
        ("1 202 555 0143", "US", "12025550143"),
        ("+1 202 555 0143", "DE", "12025550143"),
        ("1-800-FLOWERS", "US", "18003569377"),
        ("0049 30 123456", None, "4930123456"),
        ("+49 (0)30 123456", None, "4930123456"),
        ("0151/23456789", "DE", "4915123456789"),
        ("020 7946 0958", "GB", "442079460958"),
        ("+39 06 6982 0000", None, "390669820000"),
        ("06 12 34 56 78", "FR", "33612345678"),
        ("０９０−１２３４−５６７８", "JP", "819012345678"),
        ("＋81 90 1234 5678", None, "819012345678"),
        ("\u200e+12025550143\u200f", None, "12025550143"),
        (HASH, None, "12025550143"),
    ],
)
def test_phone_number_is_hashed_as_digits_with_country_code(number: str, country: str | None, digits: str) -> None:
    assert sha(digits) == compute_identifier(PHONE, number.encode(), default_country=country)


REJECTED: Mapping[Reason, Sequence[tuple[object, str | None]]] = {
    Reason.NULL: [(None, "US")],
    Reason.NOT_A_STRING: [(2025550143, "US")],
    Reason.BAD_ENCODING: [(b"\xff202", "US")],
    Reason.EMPTY: [(b"", "US")],
    Reason.PLACEHOLDER: [(b"n/a", "US")],
    Reason.HASH_OF_NOTHING: [(sha("").hex().encode(), "US")],
    Reason.UNSUPPORTED_HASH: [(b"0123456789abcdef" * 2, "US")],
    Reason.NO_COUNTRY: [(b"202 555 0143", None), (b"(0) 30 123456", None)],
    Reason.NOT_A_PHONE_NUMBER: [
        *((value, "US") for value in (b"ann", b"0000000000", b"2025550143,2025550144")),
        *((value, None) for value in (b"+", b"+999123456789", b"+0012025550143", b"+1 202 555 0143 999")),
    ],
    Reason.TOO_LONG: [(b"+1" * 100, "US")],
}


@pytest.mark.parametrize("reason", REJECTED)
def test_value_that_is_no_phone_number_has_a_reason(reason: Reason) -> None:
    for value, country in REJECTED[reason]:
        assert compute_identifier(PHONE, value, default_country=country) is reason


@given(
    st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS)),
    st.sampled_from([phonenumbers.PhoneNumberFormat.NATIONAL, phonenumbers.PhoneNumberFormat.INTERNATIONAL]),
)
def test_example_number_of_every_country_is_the_same_in_every_form(country: str, form: int) -> None:
    example = phonenumbers.example_number(country)
    assert example is not None
    written = phonenumbers.format_number(example, form)
    digits = phonenumbers.format_number(example, phonenumbers.PhoneNumberFormat.E164).lstrip("+")
    assert sha(digits) == compute_identifier(PHONE, written.encode(), default_country=country)


def test_missing_library_error_tells_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    phones._import_phonenumbers.cache_clear()
    monkeypatch.setitem(sys.modules, "phonenumbers", None)
    with pytest.raises(
        WorkflowError,
        match=r"package phonenumbers, .* Push the project with `--with-phone-numbers`",
    ):
        compute_identifier(PHONE, b"+12025550143", default_country=None)
    assert phones.can_be_phone_country("ZZ")
    monkeypatch.undo()
    phones._import_phonenumbers.cache_clear()
