"""Who is in the control group."""

from __future__ import annotations

import hashlib
from decimal import Decimal

import pytest

from td_pinterest_op.settings.control import Control
from td_pinterest_op.withholding.people import in_control, key_of

KEYS = [f"customer-{number}".encode() for number in range(20_000)]


def group(percent: str, salt: str = "spring") -> set[bytes]:
    control = Control(percent=Decimal(percent), salt=salt)
    return {key for key, chosen in zip(KEYS, in_control(control, KEYS), strict=True) if chosen}


@pytest.mark.parametrize("percent", ["0.01", "5", "10.25", "50"])
def test_a_person_is_chosen_by_the_number_that_the_hash_of_salt_and_key_begins_with(percent: str) -> None:
    expected = {
        key
        for key in KEYS
        if int(hashlib.sha256(b"spring\n" + key).hexdigest()[:8], 16) % 10_000 < float(percent) * 100
    }
    assert expected == group(percent)


def test_a_greater_share_only_adds_people() -> None:
    assert group("5") < group("10") < group("50")


def test_the_share_is_about_what_is_asked_for_and_another_salt_chooses_others() -> None:
    assert 0.09 < len(group("10")) / len(KEYS) < 0.11
    assert 0.005 < len(group("10") & group("10", salt="summer")) / len(KEYS) < 0.015


@pytest.mark.parametrize(
    ("value", "key"), [(b" A-17 ", b" A-17 "), (17, b"17"), (-5, b"-5"), (b"\xff", b"\xff"), (b"", b"")]
)
def test_a_key_is_text_as_it_is_or_the_digits_of_a_number(value: object, key: bytes) -> None:
    assert key == key_of(value)
