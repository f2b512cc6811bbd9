"""`${…}` with digdag's results."""

from __future__ import annotations

from typing import Any

import pytest

from tests.dig.config import DigError
from tests.dig.template import evaluate, fill

_PARAMS: dict[str, Any] = {
    "x": "X",
    "o": {"k": 1, "l": ["a"]},
    "n": None,
    "t": True,
    "big": 9007199254740993,
    "whole": 1.0,
    "f": 1.5,
    "td": {"last_job_id": "42"},
}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"),
        ("a ${x} b", "a X b"),
        ("${td.last_job_id}", "42"),
        ("${o}", '{"k":1,"l":["a"]}'),
        ("${o.l}", '["a"]'),
        ("${o.k + 1}", "2"),
        ("${n}", ""),
        ("${o.absent}", ""),
        ("${t}", "true"),
        ("${t ? x : n}", "X"),
        ("${big}", "9007199254740992"),
        ("${whole}", "1"),
        ("${f}", "1.5"),
        ("${typeof y === 'undefined' ? 'd' : y}", "d"),
        ("${ {a: x}.a }", "X"),
        ("${'é😀'}", "é😀"),
        ("${x.toLowerCase()}", "x"),
        ("${[1, 2].map(function (v) { return v + 1 })}", "[2,3]"),
        ("${JSON.parse('[1]')[0]}", "1"),
        ("${", "${"),
        ("${x", "${x"),
        ("$$", "$"),
        ("$${x}", "$X"),
        ("$$$${x}", "$$X"),
        ("a $ b", "a $ b"),
        ('it\'s \\ "so"\n$', 'it\'s \\ "so"\n$'),
        ("${secret:td.apikey}", "${secret:td.apikey}"),
        ("${secret:td.apikey} ${x}", "${secret:td.apikey} X"),
    ],
)
def test_a_template_gives_text(text: str, result: str) -> None:
    assert result == fill(text, _PARAMS)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("${y}", "is not defined"),
        ("${n.a}", "TypeError"),
        ("${x y}", "SyntaxError"),
        ("${x; y}", "SyntaxError"),
        ("${`a`}", "newer than ECMAScript 5"),
        ("${[1].map(v => v)}", "newer than ECMAScript 5"),
        ("${moment(x)}", "is not defined"),
        ("${new Date()}", "is not defined"),
        ("${globalThis}", "is not defined"),
    ],
)
def test_what_does_not_evaluate_is_an_error_that_names_the_text(text: str, complaint: str) -> None:
    with pytest.raises(DigError) as raised:
        fill(text, _PARAMS)
    assert f"Failed to evaluate a variable {text} (" in str(raised.value)
    assert complaint in str(raised.value)


def test_mappings_and_lists_are_evaluated_at_every_depth_and_other_types_stay() -> None:
    config = {"a": {"b": ["${x}", {"c": "${o.k}"}]}, "i": 1, "z": None, "t": True}
    assert evaluate(config, _PARAMS) == {"a": {"b": ["X", {"c": "1"}]}, "i": 1, "z": None, "t": True}


def test_keys_are_not_evaluated_and_neither_are_the_conditional_tasks() -> None:
    config = {"${x}": 1, "_do": {"echo>": "${later}"}, "_else_do": {"echo>": "${later}"}}
    assert config == evaluate(config, _PARAMS)


def test_a_value_sees_the_evaluated_keys_before_it_in_its_own_mapping() -> None:
    assert evaluate({"x": "1${x}", "y": "2${x}"}, _PARAMS) == {"x": "1X", "y": "21X"}


@pytest.mark.parametrize(
    "config",
    [{"first": "${second}", "second": "1"}, {"outer": "1", "nested": {"inner": "${outer}"}}],
    ids=["a later key", "a key of the mapping around it"],
)
def test_a_value_does_not_see_other_keys_of_its_task(config: dict[str, Any]) -> None:
    with pytest.raises(DigError, match="is not defined"):
        evaluate(config, {})
