"""Whatever is handed over becomes `ExportSettings` or a `SettingsError`, and no credential is in its text."""

import json
import traceback
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from td_pinterest_op.audiences.actions import ACTIONS, EXPORT_SETTINGS, parse_export_settings
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.settings.table import ExportSettings
from tests.campaigns import examples

MARKER = "tOpXmarkerXzz"
CREDENTIALS = ("client_id", "client_secret", "refresh_token")
ENVIRON = {f"PINTEREST_{name.upper()}": f"env-{MARKER}" for name in CREDENTIALS}
NAMES = [key.name for key in EXPORT_SETTINGS.settings] + ["ignore_error"]

ANY_TEXT = st.text(st.characters(codec=None), max_size=60)  # lone surrogates included
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.sampled_from([10**4000, -(2**63)]) | st.floats() | ANY_TEXT
) | st.binary(max_size=5)
WORDS = ["pinterest", "customer_list", "true", "1", "7", "", "0.5", "{}", "a: email"]
SECRETS = ["${secret:x}", "${secret:pinterest.client_id}"]
LIKELY = st.sampled_from([*WORDS, *SECRETS, *(each.action.name for each in ACTIONS)])
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS | LIKELY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_TEXT, inner, max_size=3),
    max_leaves=6,
)
KEY_NAMES = st.sampled_from(NAMES) | ANY_TEXT | st.integers() | st.none() | st.tuples(st.integers())
MAPPINGS = st.dictionaries(KEY_NAMES, VALUES, max_size=12)


def outcome(raw: object, environ: dict[str, str]) -> str:
    """What a log could get to see: the settings printed, or the error's traceback."""
    try:
        result = parse_export_settings(raw, environ=environ)
    except SettingsError as error:
        problem = error
    else:
        return seen_of(result)
    assert str(problem).startswith("result_settings")
    str(problem).encode("utf-8")
    return "".join(traceback.format_exception(problem))


def seen_of(result: object) -> str:
    assert isinstance(result, ExportSettings)
    return repr((result.client_id, result.client_secret, result.refresh_token, result.warnings))


@settings(max_examples=examples(150))
@given(
    raw=st.text(st.sampled_from("{}[]:,-&*!|>'\"#%@?\\\n\t ax1~$<"), max_size=60)
    | MAPPINGS.map(repr)
    | VALUES
    | MAPPINGS,
    environ=st.dictionaries(st.sampled_from(sorted(ENVIRON)), ANY_TEXT, max_size=3),
)
@example(raw="a: &a [x]\nb: &b [*a, *a]\nc: [*b, *b]", environ=ENVIRON)
@example(raw="%YAML " + "9" * 5000 + ".1\n--- a", environ=ENVIRON)
@example(raw='"\\uD800"', environ=ENVIRON)
@example(raw="- " * 40_000, environ=ENVIRON)
def test_any_value_or_text_gives_settings_or_one_error(raw: object, environ: dict[str, str]) -> None:
    outcome(raw, environ)


def test_a_mapping_that_contains_itself_is_an_error() -> None:
    loop: dict[str, Any] = {}
    loop.update(dict.fromkeys(NAMES, loop))
    assert "a value of type dict is not" in outcome(loop, ENVIRON)


@settings(max_examples=examples(100))
@given(raw=st.dictionaries(st.sampled_from(NAMES), LIKELY | VALUES, max_size=12), name=st.sampled_from(CREDENTIALS))
def test_a_credential_in_another_setting_is_not_shown(raw: dict[str, object], name: str) -> None:
    copied = {key: value if index % 2 else MARKER for index, (key, value) in enumerate(raw.items())}
    raw = {**copied, name: MARKER, f"x{MARKER}": MARKER, "columns": {MARKER: MARKER}}
    assert MARKER not in outcome(raw, ENVIRON)


@settings(max_examples=examples(50))
@given(cut=st.integers(0, 150), junk=st.sampled_from(["", "\t", "[", '"', "*a", ": :", "\x00", "&"]))
def test_unreadable_text_is_not_quoted(cut: int, junk: str) -> None:
    text = json.dumps({name: f"{MARKER}{name}" for name in CREDENTIALS} | {"type": "pinterest"})
    assert MARKER not in outcome(text[:cut] + junk + text[cut:], ENVIRON)


@pytest.mark.parametrize("name", CREDENTIALS)
@pytest.mark.parametrize("wrong", [f"{MARKER} two words", [MARKER], {MARKER: 1}, f"ü{MARKER}", f"x${{secret:{MARKER}"])
def test_a_wrong_credential_is_not_shown(name: str, wrong: object) -> None:
    assert MARKER not in outcome({name: wrong}, ENVIRON)
