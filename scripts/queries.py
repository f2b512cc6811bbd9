"""Writes the queries that are made from tables: `scripts/queries`.

A test compares the files there with what it writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import indent

from td_pinterest_op.identifiers.sql import full, safe
from td_pinterest_op.identifiers.types import EMAIL, TYPES, alternatives

_NOTE = "-- Made by `scripts/queries` from the operator's own rules: edit table and columns only.\n"
_PEOPLE = "SELECT 'email' AS type, email AS value FROM people WHERE opted_in"
_KEYS = "SELECT customer_id, 'email' AS type, email AS value FROM people WHERE opted_in"
_OTHERS = [type_ for type_ in TYPES.values() if type_.sql and type_ is not EMAIL]
_OTHER_COLUMNS = alternatives(type_.name for type_ in _OTHERS)


def files() -> Mapping[str, str]:
    """The text of every query, by file name."""
    return {
        "hashed.sql": _hashed(),
        "hashed_full.sql": _hashed_full(),
        "rejected.sql": _rejected(),
    }


def _hashed() -> str:
    others = "\n".join(indent(f"  {safe(type_)}", "-- ") for type_ in _OTHERS)
    return f"""\
-- In place of people.sql: the warehouse hashes what is plainly good. The operator judges every other value.
{_NOTE}SELECT
  {safe(EMAIL)}
FROM people
WHERE opted_in
-- For a column {_OTHER_COLUMNS}, in place of that of email:
{others}
"""


def _hashed_full() -> str:
    others = _OTHER_COLUMNS
    return f"""\
-- In place of people.sql: no plain identifier leaves the warehouse. A rejected value becomes NULL, which the
-- operator counts; rejected.sql has the reasons. For a column {others}, write its name for every `email` outside
-- of the conditions.
{_NOTE}SELECT CASE WHEN length(answer) = 64 THEN answer END AS email FROM (
{full(_PEOPLE)}
)
"""


def _rejected() -> str:
    return f"""-- Your own keys, with the reason for each value that is rejected. Nothing leaves the warehouse.
-- unsure: the warehouse cannot hash this address, and the operator can. Write your key for customer_id.
{_NOTE}SELECT customer_id, answer AS reason FROM (
{full(_KEYS, keep="customer_id, ")}
)
WHERE length(answer) < 64
ORDER BY reason, customer_id
"""


if __name__ == "__main__":
    for name, text in files().items():
        (Path("workflows/queries") / name).write_text(text, encoding="utf-8")
