"""A value that does not print itself, and the mask."""

import html
import json
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from td_pinterest_op.errors import ExportError
from td_pinterest_op.redaction.secret import LONGEST_SECRET, LONGEST_TEXT, Secret, mask

VALUE = "hush-4711-hush"


@pytest.mark.parametrize(
    "show", [str, repr, "{}".format, "{!r:>5}".format, "%s".__mod__, lambda secret: f"{[secret]} { ({'key': secret}) }"]
)
def test_secret_is_never_printed(show: Callable[[Secret], str]) -> None:
    shown = show(Secret(VALUE))
    assert "***" in shown
    assert VALUE not in shown


def test_secrets_are_compared_by_value_and_never_equal_a_text() -> None:
    assert 2 == len({Secret(VALUE), Secret(VALUE), Secret("another one")})
    assert Secret(VALUE) != VALUE


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (f"key {VALUE} refused", "key *** refused"),
        (f"key={VALUE}&{VALUE}", "key=***&***"),
        ("no such user: Anna.B+news@shop.example.", "no such user: <hidden>"),
        ("cast('jürgen@bücher.example' as bigint)", "cast('<hidden>' as bigint)"),
        ("<anna@shop.example>", "<hidden>"),
        ("near anna%2540shop.example or anna%252540shop.example", "near <hidden> or <hidden>"),
        ("anna&#64;shop.example, anna&#x40;shop.example, anna&commat;shop.example", "<hidden> <hidden> <hidden>"),
        ("device 5eed0001-AAAA-4bbb-8ccc-000000000001,", "device <hidden>,"),
        ("id5eed0001-aaaa-4bbb-8ccc-000000000001x", "id<hidden>x"),
        (f"digest {'0a' * 32}", "digest <hidden>"),
        (f"md5:{'0A' * 16}", "md5:<hidden>"),
        ("job 1234567890 and list 549755885175000001", "job 1234567890 and list 549755885175000001"),
        ("10:00 @ noon, a@b", "10:00 @ noon, a@b"),
        ("", ""),
    ],
)
def test_mask_hides_credentials_and_identifiers_and_nothing_else(text: str, masked: str) -> None:
    Secret(VALUE)
    assert masked == mask(text)


TOKEN = "hush:ab/c+d&e=f\"g%h'i-j_k~l.m 4711"
FORMS = {
    "plain": TOKEN,
    "in a path": quote(TOKEN, safe=""),
    "in a form": quote_plus(TOKEN),
    "in a form in small letters": quote_plus(TOKEN).lower(),
    "with every character escaped": "".join(f"%{byte:02x}" for byte in TOKEN.encode()),
    "in a path of a path": quote(quote(TOKEN)),
    "in JSON": json.dumps(TOKEN)[1:-1],
    "in JSON with slashes escaped": json.dumps(TOKEN)[1:-1].replace("/", "\\/"),
    "in JSON with everything escaped": "".join(f"\\u{ord(c):04x}" for c in TOKEN),
    "in JSON of JSON": json.dumps(json.dumps(TOKEN))[3:-3],
    "in JSON with everything escaped in capitals": "".join(f"\\u{ord(c):04X}" for c in TOKEN),
    "in JSON for HTML": json.dumps(TOKEN)[1:-1].replace("&", "\\u0026").replace("=", "\\u003d").replace("'", "\\u0027"),
    "in JSON of a path": json.dumps(quote(TOKEN))[1:-1],
    "in a URL by JavaScript": quote(TOKEN, safe="!~*'()"),
    "in HTML": html.escape(TOKEN),
    "in HTML by number": html.escape(TOKEN).replace("&#x27;", "&#39;"),
    "in HTML of JSON": html.escape(json.dumps(TOKEN)[1:-1]),
    "in Python": repr(TOKEN)[1:-1],
    "in base64": b64encode(TOKEN.encode()).decode().rstrip("="),
    "in base64 for URLs": urlsafe_b64encode(TOKEN.encode()).decode().rstrip("="),
    "in base64 in a form": quote_plus(b64encode(TOKEN.encode()).decode().rstrip("=")),
    "in a form in base64": b64encode(quote_plus(TOKEN).encode()).decode().rstrip("="),
    "in hex": TOKEN.encode().hex(),
    "in hex in capitals": TOKEN.encode().hex().upper(),
    "the first half": TOKEN[: len(TOKEN) // 2],
    "the second half": TOKEN[len(TOKEN) // 2 :],
    "half of it in a form": quote_plus(TOKEN)[: len(TOKEN) // 2],
    "half of its base64": b64encode(TOKEN.encode()).decode()[:20],
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_a_credential_is_hidden_in_every_form(form: str) -> None:
    Secret(TOKEN)
    assert "refused: *** (code 7)" == mask(f"refused: {form} (code 7)")


def test_credential_is_hidden_next_to_text_that_was_escaped_twice() -> None:
    Secret(TOKEN)
    deep = quote(quote(quote(quote("100 %"))))
    assert f"refused: *** at {deep}" == mask(f"refused: {quote(TOKEN)} at {deep}")


@pytest.mark.parametrize("before", ["Bearer ", "1:", "ab", ""])
def test_a_credential_is_hidden_inside_of_longer_base64(before: str) -> None:
    Secret(TOKEN)
    left = mask(b64encode(f"{before}{TOKEN}--".encode()).decode()).split("***")
    assert 2 == len(left)
    # Of the credential itself less than a character is left at either end.
    assert len(left[0]) <= len(b64encode(before.encode())) + 1
    assert len(left[1]) <= 6


@pytest.mark.parametrize("value", ["ab1", "abc1", "abc12"])
def test_short_credential_is_hidden_as_a_whole_word(value: str) -> None:
    Secret(value)
    Secret(f"1489:{value}")
    encoded = b64encode(f"1489:{value}".encode()).decode().rstrip("=")
    assert f"client_secret=***&x, Basic ***; x{value}x" == mask(f"client_secret={value}&x, Basic {encoded}; x{value}x")


@pytest.mark.parametrize("value", ["abc1", "abc12", "abc12345"])
def test_a_short_credential_is_hidden_in_hex(value: str) -> None:
    Secret(value)
    digits = value.encode().hex()
    assert "key *** of *** or x***x" == mask(f"key {digits} of {digits.upper()} or x{digits}x")


@pytest.mark.parametrize(
    ("value", "text", "masked"),
    [
        ("pinr.tokens-for-everybody-4711", "the tokens for everybody", "the tokens for everybody"),
        ("adio", "a radio", "a radio"),
        ("inner-value-and-more", "inner-value-and-more", "***"),
    ],
)
def test_part_that_could_be_a_word_is_shown_and_a_credential_that_contains_another_is_hidden_whole(
    value: str, text: str, masked: str
) -> None:
    Secret("inner-value")
    Secret(value)
    assert masked == mask(text)


@pytest.mark.parametrize(
    "text",
    [
        "x" * 16_000_000,
        "x@" * 8_000_000,
        "hush-4711-" * 1_600_000,
        "f" * 16_000_000,
        "%41" * 5_000_000,
        "a@b " * 4_000_000,
        "%40" * 33_000,
        "a%40b" * 19_000,
        r"\u0040" * 16_000,
        "x@y.@" * 19_000,
    ],
)
def test_text_of_megabytes_is_cut_and_masked_quickly(text: str) -> None:
    Secret(VALUE)
    before = time.process_time()
    assert len(mask(text)) <= LONGEST_TEXT + 2
    assert time.process_time() - before < 3


@given(st.text(), st.text(min_size=8), st.text())
def test_credential_is_hidden_within_any_text(before: str, value: str, after: str) -> None:
    Secret(value)
    assert value not in mask(before + value + after)


def test_error_is_masked_and_without_templates_also_when_extended() -> None:
    Secret(VALUE)
    error = ExportError(f"{VALUE} failed ${{x}} $").extend(f"{{y}} for {VALUE} $${{secret:td.apikey}}")
    assert "*** failed $ {x} $ {y} for *** $$ {secret:td.apikey}" == str(error)


@pytest.mark.parametrize("unit", ["a", "ab", "x7"])
def test_secret_of_megabytes_is_masked_at_its_beginning_and_quickly(unit: str) -> None:
    value = f"begins-{unit * 2_500_000}"
    Secret(value)
    assert "at *** end" == mask(f"at {value[:LONGEST_SECRET]} end")
