"""`td-pinterest explain` knows every reason and every error."""

import ast
import importlib
import json
import pkgutil
from collections import Counter
from pathlib import Path

import pytest

import td_pinterest_op
from td_pinterest_op.cli.commands.explain import ERRORS_BY_NAME
from td_pinterest_op.errors import ExportError
from td_pinterest_op.identifiers.reasons import REASON_EXPLANATIONS
from tests.unit.cli.running import Terminal


def _error_classes(of: type[ExportError] = ExportError) -> set[str]:
    for module in pkgutil.walk_packages(td_pinterest_op.__path__, "td_pinterest_op."):
        importlib.import_module(module.name)
    # A test of another file may have made one of its own.
    own = [below for below in of.__subclasses__() if below.__module__.startswith("td_pinterest_op.")]
    return {of.__name__}.union(*map(_error_classes, own))


def test_every_error_is_in_one_module() -> None:
    assert sorted(_error_classes()) == sorted(ERRORS_BY_NAME)


@pytest.fixture(scope="module")
def literals() -> Counter[str]:
    """Every piece of text of at least 15 characters in the package, but those of the examples themselves."""
    texts = [
        node.value.strip()
        for path in Path(td_pinterest_op.__path__[0]).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) >= 15
    ]
    return Counter(texts) - Counter(error.example for error in ERRORS_BY_NAME.values())


@pytest.mark.parametrize("name", sorted(ERRORS_BY_NAME.keys() - {"ExportError"}))
def test_example_of_an_error_is_a_text_of_the_code(name: str, terminal: Terminal, literals: Counter[str]) -> None:
    assert "example" in vars(ERRORS_BY_NAME[name])
    example = json.loads(terminal("explain", name, "--json").out)["example"]
    assert any(text in example for text in literals)


@pytest.mark.parametrize("name", [*REASON_EXPLANATIONS, *ERRORS_BY_NAME])
def test_each_name_is_explained_with_what_to_do(terminal: Terminal, name: str) -> None:
    ran = terminal("explain", name)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"{name}: ")
    assert "\nWhat to do: " in ran.out


def test_json_holds_what_is_shown(terminal: Terminal) -> None:
    assert "SELECT * FROM people WHERE email IS NULL" in terminal("explain", " NULL ").out
    explained = json.loads(terminal("explain", "null", "--json").out)
    assert set(explained) == {"name", "kind", "meaning", "example", "advice", "sql"}
    assert (explained["name"], explained["kind"]) == ("null", "reason")
    assert set(json.loads(terminal("explain", "JobError", "--json").out)) == {
        "name",
        "kind",
        "meaning",
        "who",
        "example",
        "advice",
    }


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "AudienceErrr",
            "with that name; did you mean AudienceError? Run `td-pinterest explain` without a name to list all",
        ),
        ("xyz", "with that name. Run `td-pinterest explain` without a name to list all"),
    ],
)
def test_an_unknown_name_is_wrong_usage_and_the_nearest_is_named(terminal: Terminal, name: str, said: str) -> None:
    assert terminal("explain", name).failed(said, code=2)


def test_explain_without_a_name_lists_all(terminal: Terminal) -> None:
    assert [entry["name"] for entry in json.loads(terminal("explain", "--json").out)] == [
        *REASON_EXPLANATIONS,
        *ERRORS_BY_NAME,
    ]
    assert len(terminal("explain").out.splitlines()) == len(REASON_EXPLANATIONS) + len(ERRORS_BY_NAME) + 1
