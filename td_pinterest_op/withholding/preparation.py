"""How an export's rows are read: all that is valid is sent, or what is left without those who are withheld."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from td_pinterest_op.errors import JobError
from td_pinterest_op.identifiers.phones import check_country
from td_pinterest_op.records.columns import identifier_columns, position_of, row_columns
from td_pinterest_op.records.read import (
    AllIdentifiers,
    AllRows,
    IdentifierPreparation,
    Identifiers,
    Preparation,
    RecordRows,
    RowPreparation,
)
from td_pinterest_op.records.row_spool import RowSpool
from td_pinterest_op.records.spool import Spool
from td_pinterest_op.settings.parse import Settings
from td_pinterest_op.settings.table import RecordsFormat
from td_pinterest_op.stats import Stats
from td_pinterest_op.treasure_data.job import Job
from td_pinterest_op.withholding.people import Lists, LonePeople, People
from td_pinterest_op.withholding.records import WithheldIdentifiers, WithheldRows


@contextlib.contextmanager
def preparing(job: Job, settings: Settings, stats: Stats, *, lists: Lists | None) -> Iterator[Preparation]:
    """What reads the result of a job, until the end of the block; without lists or control group, all is sent.

    Raises JobError for its columns, WorkflowError (see `phones`), OSError.
    """
    control, are_rows = settings.control, settings.records is RecordsFormat.ROWS
    if are_rows:
        check_country(settings.default_country)
    name = control.by if control else None
    columns = (row_columns if are_rows else identifier_columns)(job, settings.columns, by=name)
    by = position_of(job, name) if name else None
    if control and by is None and not (len(columns) == 1 and columns[0].type.is_hashed and not columns[0].is_array):
        raise JobError(
            f"{job.label} needs a column for the control group: the result has no single column of digests to choose "
            "by. Select a key of each person, and name it in `control` as `by`"
        )
    of_rows: dict[str, Any] = {"columns": columns, "stats": stats, "by": by, "line_of": job.line_of}
    all_are_sent, lists = lists is None and control is None, lists or Lists()
    if are_rows:
        rows: RecordRows = AllRows(RowSpool()) if all_are_sent else WithheldRows(People(lists), control, by)
        with contextlib.closing(rows):
            yield RowPreparation(rows, **of_rows, default_country=settings.default_country)
    else:
        identifiers: Identifiers
        if all_are_sent:
            identifiers = AllIdentifiers(Spool())
        else:
            people = LonePeople(lists) if len(columns) == 1 and not columns[0].is_array else People(lists)
            identifiers = WithheldIdentifiers(people, control, by)
        with contextlib.closing(identifiers):
            yield IdentifierPreparation(identifiers, **of_rows)
