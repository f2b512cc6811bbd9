"""YAML and `${…}` with digdag's rules and results."""

from pathlib import Path
from typing import Any

import pytest

from tests.dig.config import DigError, load
from tests.dig.template import evaluate, fill


def _load(folder: Path, text: str) -> dict[str, Any]:
    path = folder / "sample.dig"
    path.write_text(text, encoding="utf-8")
    return load(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("TRUE", "TRUE"),
        ("yes", "yes"),
        ("on", "on"),
        ("010", 8),
        ("08", "08"),
        ("0o7", "0o7"),
        ("0x1F", 31),
        ("0b11", 3),
        ("1_000", 1000),
        ("+1", 1),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("0.5", "0.5"),
        ("-0.5", "-0.5"),
        ("2026-01-02", "2026-01-02"),
        ("2026-01-02 03:04:05", "2026-01-02 03:04:05"),
        ("10:00:00", "10:00:00"),
        ("9007199254740993", 9007199254740993),
        ("", None),
        ("~", None),
        ("null", None),
        ("'010'", "010"),
        ("=", "="),
        ("😀", "😀"),
    ],
)
def test_scalar_gets_the_type_that_digdag_gives_it(tmp_path: Path, text: str, value: object) -> None:
    loaded = _load(tmp_path, f"a: {text}\n")["a"]
    assert (type(value), value) == (type(loaded), loaded)


def test_include_extends_keys_above_it_and_yields_to_keys_below_it(tmp_path: Path) -> None:
    (tmp_path / "x.yml").write_text("a: {p: 1, q: 1}\nb: {p: 1}\n")
    assert _load(tmp_path, "a: {q: 2, r: 3}\n!include : 'x.yml'\nb: {s: 4}\n") == {
        "a": {"p": 1, "q": 1, "r": 3},
        "b": {"s": 4},
    }


def test_several_includes_of_one_mapping_are_relative_to_their_file(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "outer.yml").write_text("!include : 'inner.yml'\nouter: 1\n")
    (tmp_path / "config" / "inner.yml").write_text("inner: 1\n")
    (tmp_path / "other.yml").write_text("other: 1\n")
    loaded = _load(tmp_path, "_export:\n  !include : 'config/outer.yml'\n  !include  : 'other.yml'\n")
    assert loaded == {"_export": {"inner": 1, "outer": 1, "other": 1}}


# -- templates


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
def test_template_evaluates_to_text(text: str, result: str) -> None:
    assert result == fill(text, _PARAMS)


def test_template_uses_earlier_keys_of_its_own_mapping() -> None:
    assert evaluate({"x": "1${x}", "y": "2${x}"}, _PARAMS) == {"x": "1X", "y": "21X"}


@pytest.mark.parametrize(
    "config",
    [{"first": "${second}", "second": "1"}, {"outer": "1", "nested": {"inner": "${outer}"}}],
    ids=["a later key", "a key of the mapping around it"],
)
def test_template_does_not_use_other_keys_of_its_task(config: dict[str, Any]) -> None:
    with pytest.raises(DigError, match="is not defined"):
        evaluate(config, {})
