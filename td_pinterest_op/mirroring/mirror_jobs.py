"""The statements of one try of a mirror (an execution of its task), and its tables."""

import logging
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from td_pinterest_op.errors import ExportError
from td_pinterest_op.runtime import shutdown
from td_pinterest_op.treasure_data.job import JobOrQuery, run_statement_job
from td_pinterest_op.treasure_data.quoting import quote_name
from td_pinterest_op.treasure_data.result import open_job_rows, read_small_result
from td_pinterest_op.treasure_data.tables import ListedTable, list_tables
from td_pinterest_op.treasure_data.td_api import TreasureData, build_v3_path
from td_pinterest_op.trino.hashed_query import prepend_comments

log = logging.getLogger(__name__)

TableName = str  # quoted, after its database
JobId = str

# The names that `create_temporary_table` gives. The audience is an id, or "new".
_TEMPORARY_TABLE_PATTERN = re.compile(r"pinterest_(changes|digests|suppress|consent)_([0-9]+|new)(_[0-9a-f]{8}){2}")
_LEFTOVER_TABLE_AGE_SECONDS = 6 * 3600  # after which no run uses a temporary table any more


@dataclass(kw_only=True)
class MirrorJobs:
    """Runs a mirror's SQL statements as jobs. Creates temporary tables, which no other try reads.

    Methods raise JobError and TreasureDataError.
    """

    td: TreasureData
    source: JobOrQuery  # the people's query; all statements use its engine and database
    database: str  # has the temporary tables and the ledger
    audience_id: str = "new"  # until the audience is found or created
    session_task_key: str  # `Task.session_task_key`
    token: str = field(default_factory=lambda: secrets.token_hex(4))  # identifies this try
    tables: list[str] = field(default_factory=list)  # the names of this try's tables

    def run(self, purpose: str, statement: str, *, embedded_query: JobOrQuery | None = None) -> JobId:
        """Run a statement that returns no rows, and return its job's id.

        `purpose`: what it is for, added as a comment in front. `embedded_query`: the user's query that it contains.
        """
        return run_statement_job(self.td, self._build_source(purpose, statement, embedded_query))

    def read_rows(self, purpose: str, statement: str) -> Iterable[list[list[Any]]]:
        """Run a query, and return its rows in blocks of columns."""
        return open_job_rows(self.td, self._build_source(purpose, statement))

    def read_rows_as_dicts(self, purpose: str, statement: str) -> list[dict[str, Any]]:
        """Run a query with few rows, and return each row as a dict by column name."""
        return read_small_result(self.td, self._build_source(purpose, statement))

    def create_temporary_table(
        self, kind: str, purpose: str, select: str, *, embedded_query: JobOrQuery | None
    ) -> tuple[TableName, JobId]:
        """Create a temporary table of the rows of `select`. Return its quoted name and the job's id.

        `kind`: a word of the table's name, such as "digests".
        """
        table = f"pinterest_{kind}_{self.audience_id}_{self.session_task_key}_{self.token}"
        self.tables.append(table)
        name = f"{quote_name(self.database)}.{quote_name(table)}"
        return name, self.run(purpose, f"CREATE TABLE {name} AS\n{select}", embedded_query=embedded_query)

    def list_tables(self) -> dict[str, ListedTable]:
        """Return all tables of the database, by name."""
        return list_tables(self.td, self.database)

    def drop_leftover_tables(self, tables: Mapping[str, ListedTable], *, now: float) -> None:
        """Drop those of the `tables` that earlier tries have made as temporary ones, and left. `now`: in Unix seconds.

        A table of another session is dropped only if it is six hours old.
        """
        # `created_at` has this format.
        before = datetime.fromtimestamp(now - _LEFTOVER_TABLE_AGE_SECONDS, timezone.utc).strftime(
            "%Y-%m-%d %H:%M:%S UTC"
        )
        self.drop_tables(
            name
            for name, table in tables.items()
            if _TEMPORARY_TABLE_PATTERN.fullmatch(name)
            and (f"_{self.session_task_key}_" in name or table.created_at < before)
        )

    def drop_tables(self, tables: Iterable[str]) -> None:
        """Drop the named tables, unless a signal leaves no time for it. A failure is only logged as a warning."""
        if shutdown.is_requested():
            return
        try:
            for table in tables:
                self.td.call("POST", build_v3_path("table", "delete", self.database, table))
        except ExportError as error:
            log.warning("could not delete temporary tables in %s; a later run tries again: %s", self.database, error)

    def _build_source(self, purpose: str, statement: str, embedded_query: JobOrQuery | None = None) -> JobOrQuery:
        """Return the job that runs `statement`, after comments: the purpose and the user's own."""
        # Only the user's query gets the time of the session, from which TD_INTERVAL counts: the others are about the
        # ledger of now, also in a session of the past.
        source = embedded_query or replace(self.source, query="", scheduled_time=None)
        text = prepend_comments(statement, f"td_pinterest_op: mirror: {purpose}", query=source.query)
        return source.replace_query(text, adopts=False, purpose=purpose)
