"""`td-pinterest explain`."""

import inspect
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import click

from td_pinterest_op import errors
from td_pinterest_op.cli import options, screen
from td_pinterest_op.errors import ExportError
from td_pinterest_op.identifiers.reasons import REASON_EXPLANATIONS
from td_pinterest_op.settings.types import build_suggestion_text

_PART_HEADINGS = {
    "who": "Who must act:",
    "example": "Example:",
    "advice": "What to do:",
    "sql": "SQL that finds the rows (put your table and column in):\n ",
}


ERRORS_BY_NAME: Mapping[str, type[ExportError]] = {
    name: error for name, error in vars(errors).items() if isinstance(error, type) and issubclass(error, ExportError)
}


@options.command("\b\nExamples:\n  td-pinterest explain not_an_email\n  td-pinterest explain AudienceError")
@click.argument("name", metavar="[REASON|ERROR]", required=False)
@options.as_json
def explain(common: options.CommonOptions, name: str | None) -> None:
    """Explain what a rejection reason or an error means.

    Says what to do about it, too. REASON is a key of `invalid_by_reason` in the statistics, ERROR a class in the log,
    such as JobError. Without a name, lists all of them.
    """
    entries: list[dict[str, Any]] = [
        {"name": known, "kind": "reason", **asdict(reason), "meaning": f"the value {reason.meaning}"}
        for known, reason in REASON_EXPLANATIONS.items()
    ]
    entries += [
        {
            "name": known,
            "kind": "error",
            "meaning": get_meaning(error),
            "who": error.who,
            "example": error.example,
            "advice": error.general_advice,
        }
        for known, error in ERRORS_BY_NAME.items()
    ]
    if name is None:
        if common.as_json:
            screen.print_json(entries)
        else:
            screen.print_table(entries, columns=("name", "meaning"), wrappable=("meaning",))
        return
    word = name.strip().lower().replace("-", "_")
    entry = next((each for each in entries if each["name"].lower() == word), None)
    if entry is None:
        suggestion = build_suggestion_text(name.strip(), [*REASON_EXPLANATIONS, *ERRORS_BY_NAME]) or "."
        raise click.UsageError(
            f"there is no rejection reason or error with that name{suggestion} Run `td-pinterest explain` without a "
            "name to list all; the page settings.md explains settings"
        )
    if common.as_json:
        screen.print_json(entry)
        return
    screen.print_line(f"{entry['name']}: {entry['meaning']}")
    for key, heading in _PART_HEADINGS.items():
        if entry.get(key):
            screen.print_line(f"\n{heading} {entry[key]}")


def get_meaning(error: type[ExportError]) -> str:
    """Return the first paragraph of a docstring as one line."""
    return " ".join(inspect.cleandoc(error.__doc__ or "").split("\n\n")[0].split())
