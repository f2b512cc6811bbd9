"""Writes the queries that are made from tables: `python -m td_pinterest_op.warehouse workflows/queries`."""

from __future__ import annotations

import sys
from pathlib import Path

from td_pinterest_op.warehouse import history_sql, queries


def main(folder: str) -> None:
    """Write all generated queries into the folder."""
    for name, text in {**queries.files(), **history_sql.files()}.items():
        (Path(folder) / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
