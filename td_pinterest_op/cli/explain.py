"""`td-pinterest explain`: what a reason or an error means, and what to do."""

from dataclasses import asdict
from typing import Any

import click

from td_pinterest_op.cli import options, screen
from td_pinterest_op.cli.options import CommonOptions
from td_pinterest_op.errors import ERRORS
from td_pinterest_op.identifiers.reasons import REASONS
from td_pinterest_op.settings.types import suggest

_PARTS = {
    "who": "Who must act:",
    "example": "Example:",
    "advice": "What to do:",
    "sql": "SQL that finds the rows (put your table and column in):\n ",
}


@click.command(epilog="\b\nExamples:\n  td-pinterest explain not_an_email\n  td-pinterest explain AudienceError")
@click.argument("name", metavar="[REASON|ERROR]", required=False)
@options.as_json
@options.pass_common
def explain(common: CommonOptions, name: str | None) -> None:
    """Explain why a value is rejected, or what an error means.

    REASON is a name under `invalid_by_reason` in the statistics, ERROR the class in a log, such as JobError. Without a
    name, all of them are listed.
    """
    if name is None:
        entries = [_describe_entry(known) for known in (*REASONS, *ERRORS)]
        if common.as_json:
            screen.print_json(entries)
        else:
            screen.print_table(entries, columns=("name", "meaning"), prose=("meaning",))
        return
    entry = _describe_entry(_resolve_name(name))
    if common.as_json:
        screen.print_json(entry)
        return
    screen.print_line(f"{entry['name']}: {entry['meaning']}")
    for key, heading in _PARTS.items():
        if entry.get(key):
            screen.print_line(f"\n{heading} {entry[key]}")


def _describe_entry(name: str) -> dict[str, Any]:
    """Return a rejection reason or an error as a row: its meaning, example and advice."""
    if name in REASONS:
        reason = asdict(REASONS[name])
        return {"name": name, "kind": "reason", **reason, "meaning": f"the value {reason['meaning']}"}
    error = ERRORS[name]
    shown = {"meaning": error.meaning(), "who": error.who, "example": error.example, "advice": error.advice}
    return {"name": name, "kind": "error", **shown}


def _resolve_name(name: str) -> str:
    """Return the exact name of a reason or an error. Raises click.UsageError with the nearest name."""
    names = {known.lower(): known for known in (*REASONS, *ERRORS)}
    word = name.strip().lower().replace("-", "_")
    if word not in names:
        suggestion = suggest(name.strip(), names.values()) or "."
        raise click.UsageError(
            f"there is no rejection reason or error with that name{suggestion} Run `td-pinterest explain` without a "
            "name to list all"
        )
    return names[word]
