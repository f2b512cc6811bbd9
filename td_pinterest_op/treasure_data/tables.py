"""List the tables of a database of Treasure Data."""

import json
from typing import NamedTuple

from td_pinterest_op.errors import JobError
from td_pinterest_op.treasure_data.td_api import TreasureData, build_path


class Table(NamedTuple):
    """A table: its columns, in lower case, without `time`, which every table has; and when it was created.

    `created_at`: such as "2026-11-29 08:15:00 UTC".
    """

    columns: frozenset[str]
    created_at: str


def list_tables(td: TreasureData, database: str) -> dict[str, Table]:
    """Return the tables of a database by name. Raises JobError if there is no such database."""
    status, content = td.call("GET", build_path("table", "list", database))
    if status == 404:
        raise JobError(f'there is no database "{database}": create it, or name another one')
    return {
        str(table["name"]): Table(
            # Each column is a list of its name, its type and, if it has another one in SQL, its alias.
            columns=frozenset(
                str(name).lower() for column in json.loads(table.get("schema") or "[]") for name in column[::2]
            ),
            created_at=str(table.get("created_at")),
        )
        for table in content.get("tables") or []
    }
