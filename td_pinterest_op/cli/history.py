"""The rows of a history table, read over Treasure Data's API."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from td_pinterest_op.cli.connection import treasure_data
from td_pinterest_op.cli.credentials import Credentials
from td_pinterest_op.report.entry import Entry, entry
from td_pinterest_op.treasure_data.api import TreasureData
from td_pinterest_op.treasure_data.job import Source, job_of
from td_pinterest_op.treasure_data.result import JobResult

_TABLE = re.compile(r"(?P<database>[a-z0-9_]{3,255})\.(?P<table>[a-z0-9_]{3,255})")
# Two years of daily runs with their follow-ups, of several audiences.
_MOST_ROWS = 10_000

option = click.option(
    "--history",
    metavar="DATABASE.TABLE",
    help="The history that the workflows keep in Treasure Data, such as shop.pinterest_history.",
)


def entries(history: str, *, audience_id: str | None, env_file: Path | None) -> list[Entry]:
    """The newest rows of a history table, oldest first. Raises click.UsageError, and what Treasure Data raises."""
    named = _TABLE.fullmatch(history)
    if named is None:
        raise click.UsageError("--history takes a database and a table, such as shop.pinterest_history")
    only = f" WHERE audience_id = '{audience_id}'" if audience_id else ""
    # A table that an older version made has fewer columns.
    query = f"SELECT * FROM {named['table']}{only} ORDER BY time DESC LIMIT {_MOST_ROWS}"  # noqa: S608
    source = Source(query=query, database=named["database"], domain_key=f"td_pinterest_op-{secrets.token_hex(16)}")
    with treasure_data(Credentials.find(env_file)) as td:
        return [entry(row) for row in reversed([*_rows(td, source)])]


def _rows(td: TreasureData, source: Source) -> Iterator[dict[str, Any]]:
    job = job_of(td, source)
    names = [name for name, _ in job.schema]
    for block in JobResult(td, job):
        for row in zip(*block, strict=True):
            yield {name: _text(value) for name, value in zip(names, row, strict=True)}


def _text(value: object) -> object:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
