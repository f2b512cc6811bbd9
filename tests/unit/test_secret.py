"""A value that does not print itself, and the mask."""

from __future__ import annotations

import copy
import json
import logging
import pickle

import pytest

from td_pinterest_op.errors import ExportError
from td_pinterest_op.secret import Secret, mask

VALUE = "hush-4711-hush"


@pytest.mark.parametrize("show", [str, repr, "{}".format, "{!r:>5}".format, lambda secret: f"{secret}"])
def test_a_secret_is_not_shown_in_any_way_of_printing_it(show: object) -> None:
    shown = show(Secret(VALUE))  # type: ignore[operator]
    assert "***" in shown
    assert VALUE not in shown


def test_a_secret_is_not_shown_inside_of_something_else() -> None:
    assert VALUE not in f"{[Secret(VALUE)]} { ({'key': Secret(VALUE)}) }"
    assert not hasattr(Secret(VALUE), "__dict__")


def test_a_secret_is_not_shown_in_a_log_line(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("td_pinterest_op").warning("%s %r", Secret(VALUE), Secret(VALUE))
    assert ["*** ***"] == caplog.messages


def test_a_secret_tells_its_value_when_it_is_asked() -> None:
    assert VALUE == Secret(VALUE).reveal()


def test_secrets_are_compared_by_value_and_never_equal_a_text() -> None:
    assert Secret(VALUE) == Secret(VALUE)
    assert len({Secret(VALUE), Secret(VALUE), Secret("another one")}) == 2
    assert Secret(VALUE) != VALUE


@pytest.mark.parametrize("use", [pickle.dumps, copy.copy, json.dumps])
def test_a_secret_cannot_be_written_away(use: object) -> None:
    with pytest.raises(TypeError):
        use(Secret(VALUE))  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"key {VALUE} refused", "key *** refused"),
        (f"key={VALUE}&{VALUE}", "key=***&***"),
        ("no such user: Anna.B+news@shop.example.", "no such user: <hidden>"),
        ("cast('jürgen@bücher.example' as bigint)", "cast('<hidden>' as bigint)"),
        ("<anna@shop.example>", "<hidden>"),
        ("device 5eed0001-AAAA-4bbb-8ccc-000000000001,", "device <hidden>,"),
        ("id5eed0001-aaaa-4bbb-8ccc-000000000001x", "id<hidden>x"),
        (f"digest {'0a' * 32}", "digest <hidden>"),
        (f"md5:{'0A' * 16}", "md5:<hidden>"),
        ("job 1234567890 and list 549755885175000001", "job 1234567890 and list 549755885175000001"),
        ("10:00 @ noon, a@b", "10:00 @ noon, a@b"),
        ("", ""),
    ],
)
def test_the_mask_hides_credentials_and_what_could_be_a_person_and_nothing_else(text: str, masked: str) -> None:
    Secret(VALUE)
    assert masked == mask(text)


def test_a_credential_that_holds_another_is_hidden_as_a_whole() -> None:
    Secret("inner-value")
    Secret("inner-value-and-more")
    assert "***" == mask("inner-value-and-more")


def test_a_credential_that_is_short_hides_no_ordinary_words() -> None:
    Secret("adio")
    assert "a radio" == mask("a radio")


def test_every_error_is_masked_when_it_is_made_and_when_it_is_extended() -> None:
    Secret(VALUE)
    error = ExportError(f"{VALUE} failed").extended(f" for {VALUE}")
    assert "*** failed for ***" == str(error)
