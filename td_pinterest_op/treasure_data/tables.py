"""List the tables of a database of Treasure Data."""

import json
from dataclasses import dataclass

from td_pinterest_op.errors import JobError, TreasureDataError
from td_pinterest_op.treasure_data.td_api import RUN_AGAIN, TreasureData, build_path


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of a database."""

    name: str
    created_at: str = ""  # such as "2026-11-29 08:15:00 UTC"
    schema: str = ""  # as Treasure Data writes it: the columns as JSON

    @property
    def columns(self) -> frozenset[str]:
        """The names of the columns, in lower case, but for `time`, which every table has.

        Raises TreasureDataError if they cannot be read.
        """
        try:
            # Each column is a list of its name, its type and, if it has another one in SQL, its alias.
            return frozenset(str(name).lower() for column in json.loads(self.schema or "[]") for name in column[::2])
        except (TypeError, ValueError):
            raise TreasureDataError(f"the columns of {self.name} cannot be read{RUN_AGAIN}") from None


def list_tables(td: TreasureData, database: str) -> dict[str, Table]:
    """Return the tables of a database by name. Raises JobError for an unknown database, and as `TreasureData.call`."""
    status, content = td.call("GET", build_path("table", "list", database))
    if status == 404:
        raise JobError(f'there is no database "{database}": create it, or name another one')
    tables = content.get("tables")
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise TreasureDataError(f"Treasure Data's list of the tables in {database} cannot be read{RUN_AGAIN}")
    found = [
        Table(name=str(each.get("name")), created_at=str(each.get("created_at")), schema=str(each.get("schema") or ""))
        for each in tables
    ]
    return {table.name: table for table in found}
