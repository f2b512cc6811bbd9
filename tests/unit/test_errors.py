"""The fields of an error, and the one place that puts them into words."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from td_pinterest_op import errors
from td_pinterest_op.errors import AccountError, ExportError, add_to_errors

PACKAGE = Path(__file__).parents[2] / "td_pinterest_op"
# What reads text.
READING_METHODS = {
    *("count", "endswith", "find", "index", "partition", "removeprefix", "removesuffix", "replace", "rpartition"),
    *("rsplit", "split", "splitlines", "startswith"),
}
READING_FUNCTIONS = {"findall", "finditer", "fullmatch", "match", "search", "split", "sub"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "it failed"),
        ({"quote": ": the engine's words"}, "it failed: the engine's words"),
        ({"sent": "Nothing was sent"}, "it failed. Nothing was sent"),
        ({"advice": "Run it again"}, "it failed. Run it again"),
        (
            {"quote": ": words", "sent": "Nothing was sent", "advice": "Run it again"},
            "it failed: words. Nothing was sent. Run it again",
        ),
    ],
)
def test_message_says_what_happened_what_was_sent_and_what_to_do(fields: dict[str, str], expected: str) -> None:
    assert str(ExportError("it failed", **fields)) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("named", "added", "expected"),
    [
        ([], [("ad account", "7"), ("audience", "8")], "it failed (ad account 7, audience 8)"),
        ([("audience", "8")], [("ad account", "7"), ("audience", "8")], "it failed (ad account 7)"),
        ([], [("ad account", None), ("audience", "")], "it failed"),
        ([], [("audience", "a\nb ${x}")], "it failed (audience a\\nb $ {x})"),
    ],
)
def test_message_names_each_known_subject_once(named: list[Any], added: list[Any], expected: str) -> None:
    error = ExportError("it failed", subjects=named)
    error.add_subjects(added)
    error.add_subjects(added)
    assert str(error) == expected


def test_message_without_quote_and_advice_keeps_the_rest() -> None:
    error = ExportError("it failed", quote=": words", sent="Nothing was sent", advice="Run it again")
    assert error.describe(quotes=False, advises=False) == "it failed. Nothing was sent"


def test_converted_error_has_all_fields() -> None:
    error = ExportError("it failed", quote=": words", sent="Nothing", advice="Run", status=401, error_code=2)
    error.add_subjects([("audience", "8")])
    converted = error.convert_to(AccountError)
    assert (type(converted), str(converted)) == (AccountError, str(error))
    assert (converted.status, converted.error_code) == (401, 2)


def test_block_adds_to_the_fields_of_an_error_that_passes() -> None:
    with pytest.raises(ExportError) as caught, add_to_errors(what=" [here]", sent="Nothing was pushed"):
        raise ExportError("it failed", advice="Run it again")
    assert str(caught.value) == "it failed [here]. Nothing was pushed. Run it again"


def find_readings_of_errors(source: str) -> list[int]:
    """Return the lines of a module where a program reads the words of an exception that it has caught."""
    lines = []
    for handler in ast.walk(ast.parse(source)):
        if not isinstance(handler, ast.ExceptHandler) or handler.name is None:
            continue

        def is_text_of_error(node: ast.AST, name: str = handler.name) -> bool:
            """Whether an expression is, or contains, the text of the caught exception."""
            return any(
                (
                    isinstance(each, ast.Call)
                    and getattr(each.func, "id", "") in ("str", "repr")
                    and [getattr(argument, "id", "") for argument in each.args] == [name]
                )
                or (
                    isinstance(each, ast.Call) and getattr(each.func, "attr", "") == "describe" and has_name(each, name)
                )
                or (isinstance(each, ast.Attribute) and each.attr in ("what", "args") and has_name(each, name))
                for each in ast.walk(node)
            )

        def has_name(node: ast.AST, name: str) -> bool:
            return any(isinstance(each, ast.Name) and each.id == name for each in ast.walk(node))

        for node in ast.walk(handler):
            if isinstance(node, ast.Compare) and any(map(is_text_of_error, [node.left, *node.comparators])):
                lines.append(node.lineno)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                reads = node.func.attr in READING_METHODS and is_text_of_error(node.func.value)
                searches = node.func.attr in READING_FUNCTIONS and any(map(is_text_of_error, node.args))
                if reads or searches:
                    lines.append(node.lineno)
    return lines


@pytest.mark.parametrize(
    "statement",
    [
        "x = 'start new thread' in str(error)",
        "x = str(error).removesuffix(ADVICE)",
        "x = PATTERN.search(str(error))",
        "x = re.match('a', error.what)",
        "x = error.describe(quotes=False).partition('; ')",
        "x = error.args[0] == 'a'",
    ],
)
def test_reading_of_an_errors_words_is_found(statement: str) -> None:
    assert find_readings_of_errors(f"try:\n    f()\nexcept E as error:\n    {statement}\n") == [4]


def test_file_name_of_a_caught_error_may_be_compared() -> None:
    statement = "x = Path(str(error.filename)) != path"
    assert find_readings_of_errors(f"try:\n    f()\nexcept OSError as error:\n    {statement}\n") == []


# Texts of libraries, which have no other data.
LIBRARY_TEXTS = {"cli/lint/yaml_file.py", "http/transport.py", "settings/structures.py"}


def test_no_module_reads_the_words_of_its_own_errors() -> None:
    found = {
        f"{path.relative_to(PACKAGE)}"
        for path in PACKAGE.rglob("*.py")
        if find_readings_of_errors(path.read_text(encoding="utf-8"))
    }
    assert found - LIBRARY_TEXTS == set()


def test_tree_of_errors_has_every_class() -> None:
    classes = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)}
    assert set(re.findall(r"\b[A-Z][A-Za-z]+Error\b", str(errors.__doc__))) == classes
