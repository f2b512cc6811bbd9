"""A value that does not print itself, and the mask."""

import json
from base64 import b64encode
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from td_pinterest_op.errors import ExportError
from td_pinterest_op.redaction.secret import (
    LONGEST_MASKED_TEXT,
    LONGEST_SECRET,
    Secret,
    mask_and_escape,
    mask_sensitive_data,
)

VALUE = "hush-4711-hush"


@pytest.mark.parametrize(
    "show", [str, repr, "{}".format, "{!r:>5}".format, "%s".__mod__, lambda secret: f"{[secret]} { ({'key': secret}) }"]
)
def test_secret_is_never_printed(show: Callable[[Secret], str]) -> None:
    shown = show(Secret(VALUE))
    assert "***" in shown
    assert VALUE not in shown


def test_secrets_are_compared_by_value_and_never_equal_a_text() -> None:
    assert len({Secret(VALUE), Secret(VALUE), Secret("another one")}) == 2
    assert Secret(VALUE) != VALUE


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"key {VALUE} refused", "key *** refused"),
        ("no such user: Anna.B+news@shop.example.", "no such user: <hidden>"),
        ("cast('jürgen@bücher.example' as bigint)", "cast('<hidden>' as bigint)"),
        ("near anna%2540shop.example or anna%252540shop.example", "near <hidden> or <hidden>"),
        ("anna&#64;shop.example, anna&#x40;shop.example, anna&commat;shop.example", "<hidden> <hidden> <hidden>"),
        ("device 5eed0001-AAAA-4bbb-8ccc-000000000001,", "device <hidden>,"),
        (f"digest {'0a' * 32}", "digest <hidden>"),
        ("job 1234567890 and list 549755885175000001", "job 1234567890 and list 549755885175000001"),
        ("10:00 @ noon, a@b", "10:00 @ noon, a@b"),
    ],
)
def test_mask_hides_credentials_and_identifiers_and_nothing_else(text: str, masked: str) -> None:
    Secret(VALUE)
    assert masked == mask_sensitive_data(text)


TOKEN = "hush:ab/c+d&e=f\"g%h'i-j_k~l.m 4711 é"
FORMS = {
    "plain": TOKEN,
    "in a URL": quote(TOKEN, safe=""),
    "in a form": quote_plus(TOKEN),
    "in a form in lower case": "hush%3aab%2fc%2bd%26e%3df%22g%25h%27i-j_k~l.m+4711+%c3%a9",
    "in JSON": json.dumps(TOKEN)[1:-1],
    "in JSON with escaped slashes": json.dumps(TOKEN)[1:-1].replace("/", r"\/"),
    "in base64": b64encode(TOKEN.encode()).decode(),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_a_credential_is_hidden_in_every_form(form: str) -> None:
    Secret(TOKEN)
    assert mask_sensitive_data(f"refused: {form.rstrip('=')} (code 7)") == "refused: *** (code 7)"


@pytest.mark.parametrize("value", ["ab1", "abc12"])
def test_short_credential_is_hidden_as_a_whole_word(value: str) -> None:
    Secret(value)
    Secret(f"1489:{value}")
    encoded = b64encode(f"1489:{value}".encode()).decode().rstrip("=")
    assert (
        mask_sensitive_data(f"client_secret={value}&x, Basic {encoded}; x{value}x")
        == f"client_secret=***&x, Basic ***; x{value}x"
    )


def test_credential_that_contains_another_is_hidden_whole() -> None:
    Secret("inner-value")
    Secret("inner-value-and-more")
    assert mask_sensitive_data("inner-value-and-more, inner-value") == "***, ***"


@pytest.mark.parametrize("text", ["x" * 16_000_000, "a@b " * 4_000_000])
def test_text_of_megabytes_is_cut(text: str) -> None:
    Secret(VALUE)
    assert len(mask_sensitive_data(text)) <= LONGEST_MASKED_TEXT + 2


@given(st.text(), st.text(min_size=8), st.text())
def test_credential_is_hidden_within_any_text(before: str, value: str, after: str) -> None:
    Secret(value)
    assert value not in mask_sensitive_data(before + value + after)


def test_error_is_masked_and_without_templates_also_when_extended() -> None:
    Secret(VALUE)
    error = ExportError(f"{VALUE} failed ${{x}} $")
    error.what += f"{{y}} for {VALUE} $${{secret:td.apikey}}"
    assert str(error) == "*** failed $ {x} $ {y} for *** $$ {secret:td.apikey}"


def test_secret_of_megabytes_is_masked_at_its_beginning() -> None:
    value = f"begins-{'x7' * 2_500_000}"
    Secret(value)
    assert mask_sensitive_data(f"at {value[:LONGEST_SECRET]} end") == "at *** end"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Käufer 2026 日本", "Käufer 2026 日本"),
        ("a\nINFO b", "a\\nINFO b"),
        ("a\u2028b\u202ec", "a\\u2028b\\u202ec"),
        ("one@shop.example", "<hidden>"),
        ("y" * 70 + " " + "a" * 64, "y" * 70 + " <hidden>"),
    ],
)
def test_a_name_is_masked_escaped_and_cut(text: str, expected: str) -> None:
    assert mask_and_escape(text) == expected


def test_secret_at_the_cut_is_masked() -> None:
    Secret("token-s3cr3t-token")
    assert mask_and_escape("x" * 75 + "token-s3cr3t-token") == "x" * 75 + "***"
