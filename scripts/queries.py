"""Write the queries that are generated from the operator's own rules: `scripts/queries`. A test compares the files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from td_pinterest_op.identifiers.types import EMAIL
from td_pinterest_op.records.columns import Column
from td_pinterest_op.records.sql import Query, arms_statement, rejected_statement

_NOTE = "-- Made by `scripts/queries` from the operator's own rules: edit table and columns only.\n"
_PEOPLE = "SELECT email, customer_id FROM people WHERE opted_in"


def files() -> Mapping[str, str]:
    """The text of every query, by file name."""
    return {
        "rejected.sql": _rejected(),
        "control.sql": _control(),
    }


def _rejected() -> str:
    query = Query(text=_PEOPLE, names=["email", "customer_id"], columns=[Column(name="email", type=EMAIL, position=0)])
    return f"""\
-- Write your query here: `td-pinterest sql rejected` makes the same of it, whatever its columns are.
{_NOTE}{rejected_statement(query, keys=["customer_id"])}
"""


def _control() -> str:
    names = ["customer_id"]
    salt = """'${String(lift.salt).replace(/'/g, "''")}'"""
    query = Query(text="SELECT customer_id FROM people WHERE opted_in", names=names, columns=[])
    statement = arms_statement(query, by=names[0], salt=salt, share="${Math.round(lift.percent * 100)}")
    return f"""\
-- Write your people here: in place of customer_id the column that `by` of `control` names, in place of the table and
-- the condition those of the export's query. Without `by` the key is the digest: see `td-pinterest sql control`.
{_NOTE}{statement}
"""


if __name__ == "__main__":
    for name, text in files().items():
        (Path("workflows/queries") / name).write_text(text, encoding="utf-8")
