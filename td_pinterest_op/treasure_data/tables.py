"""List the tables of a database of Treasure Data, and write to tables that the operator makes there."""

import json
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TypeVar

from td_pinterest_op.errors import ExportError, JobError, StoppedError, TreasureDataError
from td_pinterest_op.http.retry import retry
from td_pinterest_op.treasure_data.job import JobOrQuery, run_statement_job
from td_pinterest_op.treasure_data.quoting import quote_name
from td_pinterest_op.treasure_data.td_api import RUN_AGAIN_ADVICE, TreasureData, build_v3_path

log = logging.getLogger(__name__)

_T = TypeVar("_T")

TABLE_TIME_LIMIT = 30.0
"""Seconds by which reading or writing an `OperatorTable` may delay its task."""
TABLE_CREATION_TIME_LIMIT = 180.0
"""Seconds by which making the table, or adding columns that a new version needs, may delay the first run."""
_TABLE_RETRY_WAITS = (0.5, 2.0)


@dataclass(frozen=True, kw_only=True)
class ListedTable:
    """A table in a database's list of tables."""

    name: str
    created_at: str = ""  # such as "2026-11-29 08:15:00 UTC"
    schema: str = ""  # the columns as JSON

    @property
    def columns(self) -> frozenset[str]:
        """The names in lower case, but for `time`, which every table has. Raises TreasureDataError."""
        try:
            # Each column is a list of its name, its type and, if it has another one in SQL, its alias.
            return frozenset(str(name).lower() for column in json.loads(self.schema or "[]") for name in column[::2])
        except (TypeError, ValueError):
            raise TreasureDataError(f"the columns of {self.name} cannot be read", advice=RUN_AGAIN_ADVICE) from None


def list_tables(td: TreasureData, database: str) -> dict[str, ListedTable]:
    """Return a database's tables by name. Raises JobError for an unknown database, and as `TreasureData.call` does."""
    status, content = td.call("GET", build_v3_path("table", "list", database))
    if status == 404:
        raise JobError(f'there is no database "{database}"', advice="Create it, or name another one")
    tables = {}
    try:
        for each in content["tables"]:
            name = str(each["name"])
            schema = str(each.get("schema") or "")
            tables[name] = ListedTable(name=name, created_at=str(each["created_at"]), schema=schema)
    except (LookupError, TypeError):
        raise TreasureDataError(
            f"Treasure Data's list of the tables in {database} cannot be read", advice=RUN_AGAIN_ADVICE
        ) from None
    return tables


def build_create_or_alter_sql(
    table: str, columns: Mapping[str, str], existing_columns: Collection[str] | None, *, description: str
) -> str:
    """Return the SQL that creates a table with these `columns`, or adds those that it lacks; "" if it lacks none.

    `columns`: Trino's type of each. `existing_columns`: None if there is no table. `description`: for a comment.
    """
    name = quote_name(table)
    comment = f"-- td_pinterest_op: the columns of the {description}\n"
    if existing_columns is None:
        declared = ",\n".join(f"  {quote_name(column)} {type_}" for column, type_ in columns.items())
        return f"{comment}CREATE TABLE IF NOT EXISTS {name} (\n{declared}\n)"
    statements = [
        f"ALTER TABLE {name} ADD COLUMN IF NOT EXISTS {quote_name(column)} {type_}"
        for column, type_ in columns.items()
        if column not in {"time", *existing_columns}
    ]
    return comment + ";\n".join(statements) if statements else ""


@dataclass(kw_only=True)
class OperatorTable:
    """A table that the operator makes in Treasure Data. No error fails a run: after one, further calls do nothing."""

    connect: Callable[[], TreasureData]  # may raise ExportError
    database: str
    table: str
    columns: Mapping[str, str]
    identifying_columns: Collection[str]  # those that a table of any version of the operator has
    description: str  # what is in the table, such as "history"
    _is_ready: bool = False
    _is_disabled: bool = False

    def try_execute(
        self, execute: Callable[[TreasureData, JobOrQuery], _T], build_source: Callable[[], JobOrQuery]
    ) -> _T | None:
        """Return what `execute` returns for the statement of `build_source`, or None after an error, which is logged.

        Raises StoppedError.
        """
        if self._is_disabled:
            return None
        try:
            # One source for all tries: a request that is repeated because its response was lost is the same job.
            source = build_source()
            td = self.connect()
            preparing = td.without_retries(TABLE_CREATION_TIME_LIMIT)
            errors = (JobError, TreasureDataError)  # a job fails while another run makes the table
            retry(lambda: self._create_or_extend(preparing), _TABLE_RETRY_WAITS, on=errors, sleep=preparing.sleep)
            limited = td.without_retries(TABLE_TIME_LIMIT)
            return retry(
                lambda: execute(limited, source), _TABLE_RETRY_WAITS, on=TreasureDataError, sleep=limited.sleep
            )
        except Exception as error:
            self._is_disabled = True
            if isinstance(error, StoppedError):
                raise
            log.warning(
                "the %s %s failed: %s. The run continues, and may have no row there",
                self.description,
                f"{self.database}.{self.table}".lstrip("."),  # without a query there may be no database
                ExportError.from_exception(error).describe(advises=False),
            )
            return None

    def _create_or_extend(self, td: TreasureData) -> None:
        if self._is_ready:
            return
        table = list_tables(td.without_retries(TABLE_TIME_LIMIT), self.database).get(self.table)
        existing = table.columns if table else None
        if existing is not None and (missing := sorted({*self.identifying_columns} - existing)):
            raise JobError(
                f"it is not the operator's table, which has a column {' and a column '.join(missing)}",
                advice="Name another table",
            )
        if statement := build_create_or_alter_sql(self.table, self.columns, existing, description=self.description):
            run_statement_job(td, JobOrQuery(query=statement, database=self.database, purpose=self.description))
        self._is_ready = True
