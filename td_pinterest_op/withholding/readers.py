"""Read the rows of a job into temporary files of unique records, and count what is invalid or withheld.

`IdentifierRecordReader` makes a record of each identifier, and `RowRecordReader` one of each row, with all its keys.
Without lists and control group, they store the records of a block of rows at once. With them, no record is stored
before the last row is read: until then `people` keeps identifiers, and `_FilteredRowReader` rows.
"""

import abc
import contextlib
import gc
import logging
import marshal
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby
from math import prod
from operator import itemgetter
from struct import Struct
from typing import Any

from td_pinterest_op.identifiers.reasons import Reason
from td_pinterest_op.records.columns import (
    IdentifierColumn,
    choose_customer_list_type,
    find_people_columns,
    get_column_position,
    has_single_identifier_rows,
)
from td_pinterest_op.records.digests import (
    DIGEST_BYTES,
    ColumnIdentifiers,
    compute_digest_for_matching,
    extract_column_identifiers,
)
from td_pinterest_op.records.limits import MOST_NAMED_INVALID_ROWS, format_reason_counts
from td_pinterest_op.records.prepared import (
    SINGLE_DIGEST_LAYOUT,
    PreparedRecords,
    RowIdentifiers,
    RowSpool,
    encode_rows,
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

log = logging.getLogger(__name__)

MOST_COMBINATIONS_PER_ROW = 1_000
"""A row with more combinations of its values is invalid: nobody has that many, and memory must stay flat."""
_ROW_MARSHAL_VERSION = 2  # the format that does not look for repeated objects
# An identifier that a sent person's row loses: a bucket, the person's number, the digest, and the reason's number.
# Big-endian numbers sort as bytes.
_LOST_IDENTIFIER_FORMAT = Struct(f">BI{DIGEST_BYTES}sB")

RowBlock = Sequence[Sequence[Any]]  # the values of some rows, column by column
RejectedRows = list[tuple[int, Reason]]  # the row's position in its block, and why it is rejected


@dataclass(kw_only=True, eq=False)
class QueryResultReader(abc.ABC):
    """Reads the rows of a query's result in blocks, stores the valid records, and counts what it reads in `stats`."""

    columns: Sequence[IdentifierColumn]
    stats: Stats
    people: MultiIdentifierPeople | SingleIdentifierPeople | None = None  # None without lists and control group
    control: ControlGroup | None = None
    control_key_index: int | None = None  # the position of the column that chooses the control group

    def __post_init__(self) -> None:
        self._files = contextlib.ExitStack()
        self.close = self._files.close
        if self.people:
            self._files.callback(self.people.close)

    def read(self, blocks: Iterable[RowBlock], *, progress: Callable[[int], None] = lambda _: None) -> PreparedRecords:
        """Read all rows, and return their unique records. `progress` gets the number of rows read so far.

        Raises JobError, TreasureDataError and OSError.
        """
        stats = self.stats
        gc.disable()  # rows never form reference cycles; to search for some costs 4 % of the reading time
        try:
            for block in blocks:
                rejected = self._read_block(block)
                stats.invalid_by_reason.update(reason.value for _, reason in rejected)
                invalid = {stats.read + row + 1 for row, _ in rejected}
                stats.invalid_rows += len(invalid)
                stats.first_invalid += sorted(invalid)[: MOST_NAMED_INVALID_ROWS - len(stats.first_invalid)]
                stats.read += len(block[0])
                progress(stats.read)
            prepared = self._finish()
        finally:
            gc.enable()
        stats.unique = prepared.record_count + stats.withheld.total()
        stats.duplicate = stats.valid - stats.unique
        return prepared

    def _read_block(self, block: RowBlock) -> RejectedRows:
        index = self.control_key_index
        keys = () if index is None else block[index]
        keyless = [row for row, key in enumerate(keys) if key is None]
        if not keyless or self.people is None:
            return self._store_block(block)
        # If somebody without a key has opted out, this also applies to other rows.
        unsent = self._extract_identifiers(_select_rows(block, keyless))
        self.people.add_block(unsent, [False] * len(keyless), may_be_sent=False)
        rows = [row for row, key in enumerate(keys) if key is not None]
        rejected = [(rows[row], reason) for row, reason in self._store_block(_select_rows(block, rows))]
        return [(row, Reason.NO_CONTROL_KEY) for row in keyless] + rejected

    def _extract_identifiers(self, block: RowBlock) -> list[ColumnIdentifiers]:
        return [extract_column_identifiers(column, block) for column in self.columns]

    def _store_block(self, block: RowBlock) -> RejectedRows:
        """Store a block whose rows have a control-group key, if one is needed. Return its rejected rows."""
        by_column = self._extract_identifiers(block)
        for column in by_column:
            if column.column.type.is_hashed:
                self.stats.hashed_values += column.hashed_count
                self.stats.plain_values += column.valid_count - column.hashed_count
        if self.people:
            self.people.add_block(by_column, self._find_rows_in_control(block, by_column))
        return self._store_valid_records(by_column, len(block[0]))

    def _find_rows_in_control(self, block: RowBlock, by_column: Sequence[ColumnIdentifiers]) -> Sequence[bool]:
        control = self.control
        index = self.control_key_index
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

    @abc.abstractmethod
    def _store_valid_records(self, by_column: Sequence[ColumnIdentifiers], row_count: int) -> RejectedRows:
        """Store and count the valid records of a block, and return its rejected rows."""

    @abc.abstractmethod
    def _finish(self) -> PreparedRecords:
        """Return the unique records to send, and count the withheld ones, once all blocks are read."""


@dataclass(kw_only=True, eq=False)
class IdentifierRecordReader(QueryResultReader):
    """Stores each valid identifier in a query's result as a record of its own."""

    spool: Spool

    def __post_init__(self) -> None:
        super().__post_init__()
        self._files.callback(self.spool.close)
        # A row has as many values as there are columns, but for arrays.
        self.stats.columns = len(self.columns) + sum(column.is_array for column in self.columns)

    def _store_valid_records(self, by_column: Sequence[ColumnIdentifiers], _row_count: int) -> RejectedRows:
        """Store each valid identifier of a block. Return a row once for each of its invalid values."""
        for column in by_column:
            self.stats.valid += column.valid_count
            if self.people is None:  # else `_finish` stores those to send
                self.spool.add(column.digests_for_matching)
        rejected = [each for column in by_column for each in column.rejected]
        if len(by_column) == 1:
            return rejected
        # A NULL is rejected only in a row that has nothing else, and once.
        nulls = Counter(row for row, reason in rejected if reason is Reason.NULL)
        null_rows = [(row, Reason.NULL) for row, count in nulls.items() if count == len(by_column)]
        return [each for each in rejected if each[1] is not Reason.NULL] + null_rows

    def _finish(self) -> PreparedRecords:
        if self.people:
            for digests, withheld in self.people.find_sendable():
                self.spool.add(digests)
                self.stats.withheld.update(withheld)
        self.spool.finish()
        return PreparedRecords({SINGLE_DIGEST_LAYOUT: self.spool}, choose_customer_list_type(self.columns))


class RowRecordReader(QueryResultReader):
    """Stores each row of a query's result that has a valid identifier as one record."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._kept = RowSpool()
        self._files.callback(self._kept.close)

    def _store_valid_records(self, by_column: Sequence[ColumnIdentifiers], row_count: int) -> RejectedRows:
        """Store each row with a valid identifier. Return the others, each for one reason: NULL only if all are null."""
        reasons: defaultdict[int, list[Reason]] = defaultdict(list)
        for column in by_column:
            for position, reason in column.rejected:
                reasons[position].append(reason)
        rows: list[RowIdentifiers] = []
        if all(column.rows is None for column in by_column):
            rows += zip(*(column.identifiers for column in by_column), strict=True)
        else:
            rows += zip(*(column.group_by_row(row_count) for column in by_column), strict=True)
            # A row with too many combinations counts as one without identifiers.
            for position, row in enumerate(rows):
                if prod(max(len(values), 1) for values in row) > MOST_COMBINATIONS_PER_ROW:
                    rows[position] = [[] for _ in row]
                    reasons[position] = [Reason.TOO_MANY_COMBINATIONS]
        rejected = []
        for position, of_row in sorted(reasons.items()):
            given = [reason for reason in of_row if reason is not Reason.NULL]
            if any(rows[position]):
                self.stats.invalid_keys_by_reason.update(reason.value for reason in given)
            else:
                rejected.append((position, given[0] if given else Reason.NULL))
        self.stats.valid += row_count - len(rejected)
        self._buffer_rows(rows)
        return rejected

    def _buffer_rows(self, rows: list[RowIdentifiers]) -> None:
        for layout, records in encode_rows(self.columns, rows).items():
            self._kept.add(layout, records)

    def _finish(self) -> PreparedRecords:
        prepared = replace(self._kept.finish(), list_type=choose_customer_list_type(self.columns))
        self.stats.keys = sum(
            (len(layout.keys) + (layout.id_length > 0)) * file.unique_count for layout, file in prepared.files.items()
        )
        if reasons := format_reason_counts(self.stats.invalid_keys_by_reason):
            log.warning("invalid identifiers were left out of rows that also have valid identifiers: %s", reasons)
        return prepared


class _FilteredRowReader(RowRecordReader):
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

    def _buffer_rows(self, rows: list[RowIdentifiers]) -> None:
        data = marshal.dumps(rows, _ROW_MARSHAL_VERSION)
        self._file.write(self._end, data)
        # `_store_block` has just added the people of these rows: theirs are the last numbers.
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
    people: MultiIdentifierPeople | SingleIdentifierPeople | None = None
    if lists.spools or control:
        is_single = not sends_rows and has_single_identifier_rows(columns)
        people = SingleIdentifierPeople(lists) if is_single else MultiIdentifierPeople(lists)
    given: dict[str, Any] = {
        "columns": columns,
        "stats": stats,
        "people": people,
        "control": control,
        "control_key_index": get_column_position(control.by, job.names) if control and control.by else None,
    }
    reader: QueryResultReader
    if sends_rows:
        reader = _FilteredRowReader(**given) if people else RowRecordReader(**given)
    else:
        reader = IdentifierRecordReader(spool=Spool(), **given)
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
