"""Read the rows of a job without the people and identifiers that lists or the control group withhold, and count these.

No record is stored before the last row is read: until then `people` keeps identifiers, and `_FilteredRowReader` rows.
"""

import contextlib
import marshal
from collections import defaultdict
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from operator import itemgetter
from struct import Struct
from typing import Any

from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.records.columns import (
    IdentifierColumn,
    find_people_columns,
    get_column_position,
    has_single_identifier_rows,
)
from td_pinterest_op.records.digests import DIGEST_BYTES, ColumnIdentifiers, compute_digest_for_matching
from td_pinterest_op.records.prepared import PreparedRecords, RowIdentifiers, RowSpool, encode_rows
from td_pinterest_op.records.readers import (
    IdentifierRecordReader,
    QueryResultReader,
    RejectedRows,
    RowBlock,
    RowRecordReader,
)
from td_pinterest_op.records.spool import BUCKET_COUNT, NamelessTemporaryFile, Spool
from td_pinterest_op.settings.structures import ControlGroup
from td_pinterest_op.settings.table import ExportSettings
from td_pinterest_op.stats import IN_CONTROL_GROUP, SUPPRESSED, WITHHELD_REASONS, Stats
from td_pinterest_op.treasure_data.job import Job
from td_pinterest_op.trino.hashed_query import CONTROL_MODULUS
from td_pinterest_op.withholding.people import (
    SENT_OUTCOME,
    MultiIdentifierPeople,
    SingleIdentifierPeople,
    WithholdingListDigests,
    assign_control,
)

_ROW_MARSHAL_VERSION = 2  # the format that does not look for repeated objects
# An identifier that a sent person's row loses: a bucket, the person's number, the digest, and the reason's number.
# Big-endian numbers sort as bytes.
_LOST_IDENTIFIER_FORMAT = Struct(f">BI{DIGEST_BYTES}sB")


@dataclass(kw_only=True, eq=False)
class _FilteringReader(QueryResultReader):
    """Hands the people of all rows to `people`, which decides after the last one who is sent."""

    people: MultiIdentifierPeople | SingleIdentifierPeople
    control: ControlGroup | None
    control_key_position: int | None  # the position of the column that chooses the control group

    def __post_init__(self) -> None:
        super().__post_init__()
        self._files.callback(self.people.close)

    def _read_block(self, block: RowBlock) -> RejectedRows:
        """See `QueryResultReader`. Rows without the control group's key are rejected."""
        index = self.control_key_position
        keys = () if index is None else block[index]
        keyless = [row for row, key in enumerate(keys) if key is None]
        if not keyless:
            return super()._read_block(block)
        # If somebody without a key has opted out, this also applies to other rows.
        unsent = self._extract_identifiers(_select_rows(block, keyless))
        self.people.add_block(unsent, [False] * len(keyless), may_be_sent=False)
        rows = [row for row, key in enumerate(keys) if key is not None]
        rejected = [(rows[row], reason) for row, reason in super()._read_block(_select_rows(block, rows))]
        return [(row, Reason.NO_CONTROL_KEY) for row in keyless] + rejected

    def _add_people(self, by_column: Sequence[ColumnIdentifiers], block: RowBlock) -> None:
        self.people.add_block(by_column, self._find_rows_in_control(block, by_column))

    def _find_rows_in_control(self, block: RowBlock, by_column: Sequence[ColumnIdentifiers]) -> Sequence[bool]:
        control = self.control
        index = self.control_key_position
        if control is None:
            return [False] * len(block[0])
        # Without a key column, the key is the only identifier: its digest, in hex as in the warehouse.
        if index is None:
            return assign_control(control, map(bytes.hex, by_column[0].identifiers))
        keys = block[index]
        # The warehouse has put the draw of `build_control_draw_sql` in place of each key.
        if by_column[0].column.is_hashed_by_warehouse:
            return [key % CONTROL_MODULUS < control.share_in_ten_thousandths for key in keys]
        return assign_control(control, keys)


@dataclass(kw_only=True, eq=False)
class _FilteredIdentifierReader(_FilteringReader, IdentifierRecordReader):
    """Stores the identifiers that lists and the control group let through."""

    def _store_valid_records(self, by_column: Sequence[ColumnIdentifiers], block: RowBlock) -> RejectedRows:
        self._add_people(by_column, block)
        return super()._store_valid_records(by_column, block)

    def _spool_identifiers(self, column: ColumnIdentifiers) -> None:
        """Store nothing yet: `people` keeps the identifiers."""

    def _finish(self) -> PreparedRecords:
        for digests, withheld in self.people.find_sendable():
            self.spool.add(digests)
            self.stats.withheld.update(withheld)
        return super()._finish()


class _FilteredRowReader(_FilteringReader, RowRecordReader):
    """Stores people's rows without the people and identifiers that lists or the control group withhold."""

    people: MultiIdentifierPeople

    def __post_init__(self) -> None:
        super().__post_init__()
        # Only digests may be on disk as they are: external ids are encrypted.
        self._file = NamelessTemporaryFile(encrypted=not all(column.type.is_hashed for column in self.columns))
        self._blocks: list[tuple[int, int, int]] = []  # offset and length in the file, and the first person's number
        self._end = 0
        self._to_strip = Spool(_LOST_IDENTIFIER_FORMAT.size)
        self._withheld = RowSpool(suffix_bytes=1)  # each record before the number of the reason
        for file in (self._file, self._to_strip, self._withheld):
            self._files.callback(file.close)

    def _store_valid_records(self, by_column: Sequence[ColumnIdentifiers], block: RowBlock) -> RejectedRows:
        self._add_people(by_column, block)
        return super()._store_valid_records(by_column, block)

    def _spool_rows(self, rows: list[RowIdentifiers]) -> None:
        data = marshal.dumps(rows, _ROW_MARSHAL_VERSION)
        self._file.write(self._end, data)
        # `_add_people` has just added the people of these rows: theirs are the last numbers.
        self._blocks.append((self._end, len(data), self.people.person_count - len(rows)))
        self._end += len(data)

    def _finish(self) -> PreparedRecords:
        people = self.people
        people.compare_with_lists()
        # What a sent person loses is found digest by digest, and needed row by row: a spool sorts it by the person's
        # number. A spool sorts within buckets, one for each first byte: so that byte is the number of one of 256 parts
        # of the people.
        for person, reason, digest in people.find_shared_withheld_identifiers():
            part = person * BUCKET_COUNT // people.person_count
            self._to_strip.add([_LOST_IDENTIFIER_FORMAT.pack(part, person, digest, WITHHELD_REASONS.index(reason))])
        self._to_strip.finish()
        entries = map(_LOST_IDENTIFIER_FORMAT.unpack, chain.from_iterable(self._to_strip.read_sorted_buckets()))
        by_person = groupby(entries, key=itemgetter(1))
        upcoming = next(by_person, None)
        # Rows and what they lose are both in the order of their people, so one pass over both is enough. Keyless people
        # have numbers too, but no kept row, and lose nothing.
        for offset, length, first in self._blocks:
            # The file is private and has no name: nobody else can have written it.
            rows = marshal.loads(self._file.read(offset, length))  # noqa: S302
            outcomes = people.decide_outcomes(first, first + len(rows))
            while upcoming and upcoming[0] < first + len(rows):
                person, of_person = upcoming
                position = person - first
                reasons = {digest: WITHHELD_REASONS[number] for _, _, digest, number in of_person}
                left = _strip_identifiers(self.columns, rows[position], reasons)
                if any(left):
                    rows[position] = left
                else:  # nothing is left: the row is withheld
                    outcomes[position] = SUPPRESSED if SUPPRESSED in reasons.values() else IN_CONTROL_GROUP
                upcoming = next(by_person, None)
            # Withheld rows are stored apart, to count each different row once.
            by_outcome: defaultdict[str, list[RowIdentifiers]] = defaultdict(list)
            for outcome, row in zip(outcomes, rows, strict=True):
                by_outcome[outcome].append(row)
            for outcome, of_outcome in by_outcome.items():
                for layout, records in encode_rows(self.columns, of_outcome).items():
                    if outcome == SENT_OUTCOME:
                        self._kept.add(layout, records)
                    else:
                        suffix = bytes([WITHHELD_REASONS.index(outcome)])
                        self._withheld.add(layout, [record + suffix for record in records])
        # Further combinations of a row's values (`is_extra`) do not count.
        for layout, spool in self._withheld.spools.items():
            spool.finish()
            previous = b""
            for suffixed in chain.from_iterable(spool.read_sorted_buckets()) if not layout.is_extra else ():
                # A row that is withheld for several reasons counts for the first.
                if suffixed[:-1] != previous:
                    self.stats.withheld[WITHHELD_REASONS[suffixed[-1]]] += 1
                    previous = suffixed[:-1]
        # Free the disk now: these files are large, and sending the rest takes long.
        for file in (people, self._file, self._to_strip, self._withheld):
            file.close()
        return super()._finish()


@contextlib.contextmanager
def open_record_reader(
    job: Job, settings: ExportSettings, stats: Stats, *, lists: WithholdingListDigests
) -> Iterator[QueryResultReader]:
    """Yield a reader that stores the records of a job's rows which `lists` and the control group let through.

    Raises OSError, JobError if the job's columns cannot be exported, and WorkflowError if phone numbers need the
    package phonenumbers, which is not installed.
    """
    control = settings.control
    columns = find_people_columns(job, settings, lists.columns)
    sends_rows = settings.records == "rows"
    reader: QueryResultReader
    if not lists.spools and control is None:
        if sends_rows:
            reader = RowRecordReader(columns=columns, stats=stats)
        else:
            reader = IdentifierRecordReader(columns=columns, stats=stats, spool=Spool())
    else:
        is_single = not sends_rows and has_single_identifier_rows(columns)
        given: dict[str, Any] = {
            "columns": columns,
            "stats": stats,
            "people": SingleIdentifierPeople(lists) if is_single else MultiIdentifierPeople(lists),
            "control": control,
            "control_key_position": get_column_position(control.by, job.names) if control and control.by else None,
        }
        reader = _FilteredRowReader(**given) if sends_rows else _FilteredIdentifierReader(spool=Spool(), **given)
    with contextlib.closing(reader):
        yield reader


def _select_rows(block: RowBlock, positions: Sequence[int]) -> RowBlock:
    return [[column[position] for position in positions] for column in block]


def _strip_identifiers(
    columns: Sequence[IdentifierColumn], row: RowIdentifiers, lost: Container[bytes]
) -> RowIdentifiers:
    """Return a row without the identifiers whose digests for matching are in `lost`, or with b"" outside arrays."""
    left: list[Any] = []
    for column, given in zip(columns, row, strict=True):
        is_array = isinstance(given, list)
        values = given if is_array else [given]
        kept = [value for value in values if compute_digest_for_matching(column.type, value) not in lost]
        left.append(kept if is_array else next(iter(kept), b""))
    return left
