"""Where the entries come from: a JSON file, a log, an export of the history table (JSON, lines of JSON, CSV), a page.

Raises SettingsError for a text that holds none.
"""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.report.entry import Entry, entry
from td_pinterest_op.run_history.columns import COLUMNS, FAILED

# What marks a page as ours, and holds its data for the next page and for other programs.
DATA = re.compile(r'<template id="td-pinterest-report">(.*?)</template>', re.DOTALL)

# The operator's own line in a log, after the time of the process that wrote it.
_LOGGED = re.compile(
    r"(?P<at>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)?[^\n]*?statistics(?P<failed> of the failed run)?: (?P<json>\{.*\})"
)
# A log may begin with a bracket as well: [INFO] …
_JSON = re.compile(r"\s*(?:\{|\[\s*[\[{\]])")
_ERROR = re.compile(r"Error messages from python: (?P<text>.*?)(?: \(\w+\))?(?:\n\tfrom |\n\n|$)", re.DOTALL)


def entries(text: str, *, name: str) -> list[Entry]:
    """The entries in `text`, oldest first. `name` says in an error where the text comes from. Raises SettingsError."""
    try:
        read = [*_entries(text)]
    except (ValueError, TypeError, AttributeError) as error:
        raise SettingsError(f"{name} cannot be read as statistics: {type(error).__name__}") from None
    if not read:
        raise SettingsError(
            f"{name} holds no statistics of an export: give it the JSON of `pinterest`, a task's log, rows of the "
            "history table as JSON or CSV, or an earlier report"
        )
    return sorted(read, key=lambda known: known.at.timestamp() if known.at else 0.0)


def _entries(text: str) -> Iterator[Entry]:
    if page := DATA.search(text):
        yield from map(entry, json.loads(html.unescape(page[1])))
    elif _JSON.match(text):
        for given in _json_values(text):
            yield from _from_json(given)
    elif logged := [*_LOGGED.finditer(text)]:
        yield from (_from_log(line, text) for line in logged)
    else:
        rows = csv.DictReader(io.StringIO(text))
        yield from (entry({name: value or None for name, value in row.items()}) for row in rows if "kind" in row)


def _json_values(text: str) -> Iterator[Any]:
    """The JSON values that stand one after another, be it one over many lines or one a line."""
    decoder, position = json.JSONDecoder(), 0
    while rest := text[position:].lstrip():
        value, length = decoder.raw_decode(rest)
        position = len(text) - len(rest) + length
        yield value


def _from_json(given: Any) -> Iterator[Entry]:
    if isinstance(given, list):
        for member in given:
            yield from _from_json(member)
    elif "audiences" in given:
        yield from (entry({"checked_at": given.get("checked_at"), **follow_up(state)}) for state in given["audiences"])
    elif not {"rows", "kind"} & set(given):
        for member in given.values():
            if isinstance(member, Mapping):
                yield from _from_json(member)
    else:
        yield entry(given)


def follow_up(audience: Mapping[str, Any]) -> dict[str, Any]:
    """An audience as a follow-up stores it, by the names of the history's columns."""
    names = {column.follow_up: column.name for column in COLUMNS if column.follow_up}
    return {names.get(name, name): value for name, value in audience.items()}


def _from_log(line: re.Match[str], text: str) -> Entry:
    error = ""
    if line["failed"]:
        match = _ERROR.search(text, line.end())
        error = match["text"].strip() if match else "the log does not say why"
    # logging writes local time without its zone.
    local = datetime.fromisoformat(line["at"]).astimezone() if line["at"] else None
    given = json.loads(line["json"]) | ({"outcome": FAILED} if line["failed"] else {})
    return entry(given, at=local, error=error)
