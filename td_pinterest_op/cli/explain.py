"""`td-pinterest explain`: what a reason or an error means, and what to do."""

from __future__ import annotations

import difflib
from dataclasses import asdict
from typing import Any

import click

from td_pinterest_op.cli import options, screen
from td_pinterest_op.errors import ERRORS
from td_pinterest_op.reasons import REASONS


@click.command(epilog="\b\nExamples:\n  td-pinterest explain not_an_email\n  td-pinterest explain AudienceError")
@click.argument("name", metavar="REASON|ERROR", required=False)
@options.as_json
def explain(name: str | None, as_json: bool) -> None:
    """Explain why a value is rejected, or what an error means.

    REASON is a name under `invalid_by_reason` in the statistics, ERROR the class in a log, such as JobError. Without a
    name, all of them are listed.
    """
    if name is None:
        _list_all(as_json)
        return
    entry = _entry_of(name)
    if as_json:
        screen.say_json(entry)
        return
    screen.say(f"{entry['name']}: {entry['meaning']}")
    if entry.get("who"):
        screen.say(f"\nWho must act: {entry['who']}")
    if entry["example"]:
        screen.say(f"\nExample: {entry['example']}")
    screen.say(f"\nWhat to do: {entry['advice']}")
    if entry.get("sql"):
        screen.say(f"\nSQL that finds the rows (put your table and column in):\n  {entry['sql']}")


def _entry(name: str) -> dict[str, Any]:
    if name in REASONS:
        reason = asdict(REASONS[name])
        return {"name": name, "kind": "reason", **reason, "meaning": f"the value {reason['meaning']}"}
    error = ERRORS[name]
    shown = {"meaning": error.meaning(), "who": error.who, "example": error.example, "advice": error.advice}
    return {"name": name, "kind": "error", **shown}


def _entry_of(name: str) -> dict[str, Any]:
    """The entry of a name in any case. Raises click.UsageError, with the nearest name, for one that is not there."""
    names = {known.lower(): known for known in (*REASONS, *ERRORS)}
    word = name.strip().lower().replace("-", "_")
    if word in names:
        return _entry(names[word])
    near = difflib.get_close_matches(word[:64], names, n=1)
    suggestion = f"; did you mean {names[near[0]]}?" if near else ":"
    raise click.UsageError(
        f"no reason and no error has that name{suggestion} `td-pinterest explain` without a name lists all"
    )


def _list_all(as_json: bool) -> None:
    entries = [_entry(name) for name in (*REASONS, *ERRORS)]
    if as_json:
        screen.say_json(entries)
        return
    screen.table(entries, columns=("name", "meaning"), prose=("meaning",))
