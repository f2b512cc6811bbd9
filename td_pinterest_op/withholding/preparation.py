"""Readers of an export's rows: they keep all valid records, or only those of people who are not withheld."""

import contextlib
import marshal
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, pairwise
from struct import Struct

from td_pinterest_op.errors import JobError
from td_pinterest_op.records.columns import Column, find_identifier_columns, find_position, find_row_columns, is_single
from td_pinterest_op.records.digests import DIGEST_BYTES, ColumnIdentifiers
from td_pinterest_op.records.hashed_query import NUMBERS
from td_pinterest_op.records.prepared import PreparedRecords, RowSpool
from td_pinterest_op.records.readers import Block, IdentifierReader, Reader, ReaderSettings, RowReader
from td_pinterest_op.records.rows import Row, encode_rows, strip_row
from td_pinterest_op.records.spool import BUCKETS, SortedFile, Spool, SpoolFile
from td_pinterest_op.settings.table import Settings
from td_pinterest_op.stats import CONTROL, SUPPRESSED, WITHHELD, Stats
from td_pinterest_op.treasure_data.job import Job
from td_pinterest_op.withholding.people import REJECTED, SENT, Lists, People, SingleIdentifierPeople, assign_control

_WITHOUT_REFERENCES = 2  # marshal's format that does not look for repeated objects
# A bucket, a person's number, and the digest of an identifier not to send for the person, with the reason's number.
_TO_STRIP = Struct(f">BI{DIGEST_BYTES}sB")

_ToStrip = dict[bytes, str]
"""Digests of identifiers not to send for a person, with the reasons: SUPPRESSED or CONTROL."""


@contextlib.contextmanager
def open_reader(job: Job, settings: Settings, stats: Stats, *, lists: Lists) -> Iterator[Reader]:
    """Yield a reader that stores a job's valid records, except for people withheld by `lists` or by the control group.

    `lists`: the opt-outs and consents. Raises OSError, JobError if the job's columns cannot be exported, and
    WorkflowError if phone numbers need the package phonenumbers, which is not installed.
    """
    control = settings.control
    are_rows = settings.records == "rows"
    columns = find_people_columns(job, settings, lists.columns)
    by = control.by if control else None
    reading = ReaderSettings(
        columns=columns,
        default_country=settings.default_country,
        control=control,
        control_key_index=find_position(by, [name for name, _ in job.schema]) if by else None,
        find_line_number=job.find_line_number,
    )
    reader: Reader
    if not lists.spools and control is None:
        reader = RowReader(reading, stats) if are_rows else IdentifierReader(Spool(), reading, stats)
    elif are_rows:
        reader = _FilteredRowReader(People(lists), reading, stats)
    else:
        people = (SingleIdentifierPeople if is_single(columns) else People)(lists)
        reader = _FilteredIdentifierReader(people, reading, stats)
    with contextlib.closing(reader):
        yield reader


def find_people_columns(job: Job, settings: Settings, list_columns: Mapping[str, Sequence[Column]]) -> Sequence[Column]:
    """Return the people's identifier columns in the result of `job`. `list_columns`: the opt-out and consent columns.

    Raises JobError if an opt-out or consent list has no type of identifier in common with these columns, if there are
    no identifier columns, and if the control group cannot be chosen.
    """
    selected = {name.lower() for name, _ in job.schema}
    selected_by_list = {column.name.lower() for columns in list_columns.values() for column in columns}
    # A name that no query has stays: it is an error.
    named = {key: type_ for key, type_ in settings.columns.items() if key in selected or key not in selected_by_list}
    control = settings.control
    find_columns = find_row_columns if settings.records == "rows" else find_identifier_columns
    columns = find_columns(job, named, control_column=control.by if control else None)
    types = {column.type.name for column in columns}
    for name, of_list in list_columns.items():
        list_types = {column.type.name for column in of_list}
        if types.isdisjoint(list_types):
            raise JobError(
                f"`{name}` selects {' and '.join(sorted(list_types))}, but the people's query selects "
                f"{' and '.join(sorted(types))}: without a common type of identifier, the list would match nobody. "
                "Nothing was sent. Select a common type in both queries"
            )
    if control and control.by is None and not (is_single(columns) and columns[0].type.is_hashed):
        raise JobError(
            f"{job.label} has no column that identifies each person for the control group: select a column with a key "
            "of each person, and name that column as `by` in `control`"
        )
    return columns


def _find_rows_in_control(
    settings: ReaderSettings, block: Block, by_column: Sequence[ColumnIdentifiers]
) -> Sequence[bool]:
    """Return for each row whether its person is in the control group. `by_column`: digests or ids, by column."""
    control = settings.control
    index = settings.control_key_index
    if control is None:
        return [False] * len(block[0])
    if index is not None and by_column[0].column.is_hashed_by_warehouse:
        return [isinstance(number, int) and number % NUMBERS < control.share_of_ten_thousand for number in block[index]]
    return assign_control(control, map(bytes.hex, by_column[0].identifiers) if index is None else block[index])


class _FilteredIdentifierReader(IdentifierReader):
    """Reads people's identifiers. Leaves out identifiers that opt-outs, consents or the control group exclude."""

    def __init__(self, people: People | SingleIdentifierPeople, settings: ReaderSettings, stats: Stats) -> None:
        super().__init__(SortedFile(), settings, stats)
        self._people = people
        self._files.callback(people.close)

    def _store_identifiers(self, block: Block, by_column: Sequence[ColumnIdentifiers]) -> None:
        """Collect a block's people and valid identifiers, to compare with opt-outs and consents after all blocks."""
        self._people.add(by_column, _find_rows_in_control(self.settings, block, by_column))

    def _add_unsent_people(self, by_column: Sequence[ColumnIdentifiers], count: int) -> None:
        """Record the people of `count` rejected rows: if one has opted out, this also applies to other rows."""
        self._people.add(by_column, [False] * count, may_be_sent=False)

    def _finish_and_count_withheld(self) -> tuple[PreparedRecords, Mapping[str, int]]:
        """Return the unique identifiers to send, as records, and how many identifiers are withheld, by reason."""
        withheld: Counter[str] = Counter()
        for digests, of_part in self._people.find_sendable():
            self._spool.add(digests)
            withheld.update(of_part)
        return super()._finish_and_count_withheld()[0], withheld


class _FilteredRowReader(RowReader):
    """Reads people's rows. Leaves out the people and identifiers that opt-outs, consents or the control group exclude.

    A temporary file keeps the rows, in blocks, until people are compared with the lists. `_offsets` and `_ends`: where
    the blocks begin and end in the file, and among all people. `_early`: closes files that are not needed for sending.
    """

    def __init__(self, people: People, settings: ReaderSettings, stats: Stats) -> None:
        super().__init__(settings, stats)
        self._people = people
        # External ids are no digests.
        self._file = SpoolFile(encrypted=not all(column.type.is_hashed for column in settings.columns))
        self._offsets = [0]
        self._ends = [0]
        self._to_strip = Spool(_TO_STRIP.size)
        self._withheld = RowSpool(suffix_bytes=1)  # each record before the number of the reason
        self._early = self._files.enter_context(contextlib.ExitStack())
        for close in (people.close, self._file.close, self._to_strip.close, self._withheld.close):
            self._early.callback(close)

    def _store_rows(self, block: Block, by_column: Sequence[ColumnIdentifiers], rows: list[Row]) -> None:
        """Collect a block's people. Keep its `rows` in a file until opt-outs and consents are applied."""
        self._people.add(by_column, _find_rows_in_control(self.settings, block, by_column))
        self._write_to_file(rows)

    def _add_unsent_people(self, by_column: Sequence[ColumnIdentifiers], count: int) -> None:
        """Record the people of `count` rejected rows: if one has opted out, this also applies to other rows."""
        self._people.add(by_column, [False] * count, may_be_sent=False)
        self._write_to_file([()] * count)

    def _write_to_file(self, rows: list[Row]) -> None:
        """Write a block's rows to the temporary file, which is read after the last block."""
        data = marshal.dumps(rows, _WITHOUT_REFERENCES)
        self._file.write(self._offsets[-1], data)
        self._offsets.append(self._offsets[-1] + len(data))
        self._ends.append(self._ends[-1] + len(rows))

    def _finish_and_count_withheld(self) -> tuple[PreparedRecords, Mapping[str, int]]:
        """Return the unique rows to send, as records, and how many rows are withheld, by reason."""
        self._people.compare_with_lists()
        columns = self.settings.columns
        limits = zip(pairwise(self._offsets), pairwise(self._ends), self._iterate_strip_sets(), strict=True)
        for (offset, end), (first, last), to_strip in limits:
            # The file is private and has no name: nobody else can have written it.
            rows = marshal.loads(self._file.read(offset, end - offset))  # noqa: S302
            outcomes = self._people.find_outcomes(first, last)
            for position, reasons in to_strip.items():
                left = strip_row(columns, rows[position], reasons)
                if any(left):
                    rows[position] = left
                else:
                    outcomes[position] = SUPPRESSED if SUPPRESSED in reasons.values() else CONTROL
            by_outcome: defaultdict[str, list[Row]] = defaultdict(list)
            for outcome, row in zip(outcomes, rows, strict=True):
                if outcome != REJECTED:
                    by_outcome[outcome].append(row)
            for outcome, of_outcome in by_outcome.items():
                for layout, records in encode_rows(columns, of_outcome).items():
                    if outcome == SENT:
                        self._kept.add(layout, records)
                    else:
                        suffix = bytes([WITHHELD.index(outcome)])
                        self._withheld.add(layout, [record + suffix for record in records])
        withheld = self._count_withheld()
        # They are large, and it takes long to send the rest.
        self._early.close()
        return super()._finish_and_count_withheld()[0], withheld

    def _iterate_strip_sets(self) -> Iterator[Mapping[int, _ToStrip]]:
        """Yield a dict for each block of the file, with the identifiers to remove from each person's rows."""
        count = self._ends[-1]
        for person, reason, digest in self._people.find_identifiers_to_strip():
            # The first byte, by which a spool sorts into buckets: in which of 256 parts of the people the person is.
            self._to_strip.add([_TO_STRIP.pack(person * BUCKETS // count, person, digest, WITHHELD.index(reason))])
        self._to_strip.finish()
        entries = map(_TO_STRIP.unpack, chain.from_iterable(self._to_strip.read_buckets()))
        entry = next(entries, None)
        for start, stop in pairwise(self._ends):
            to_strip: defaultdict[int, _ToStrip] = defaultdict(dict)
            while entry and entry[1] < stop:
                _, person, digest, reason = entry
                to_strip[person - start][digest] = WITHHELD[reason]
                entry = next(entries, None)
            yield to_strip

    def _count_withheld(self) -> Mapping[str, int]:
        """Return how many distinct rows are withheld for each reason. A row counts for its first reason only."""
        counts: Counter[str] = Counter()
        for layout, spool in self._withheld.spools.items():
            spool.finish()
            if not layout.is_extra:
                previous = b""
                for entry in chain.from_iterable(spool.read_buckets()):
                    if entry[:-1] != previous:
                        counts[WITHHELD[entry[-1]]] += 1
                        previous = entry[:-1]
        return counts
