"""Readers of an export's rows: they keep all valid records, or only those of people who are not withheld."""

import contextlib
import marshal
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, compress, pairwise

from td_pinterest_op.errors import JobError
from td_pinterest_op.records.columns import Column, find_identifier_columns, find_position, find_row_columns, is_single
from td_pinterest_op.records.digests import DIGEST_BYTES, ColumnKeys
from td_pinterest_op.records.hashed_query import NUMBERS
from td_pinterest_op.records.prepared import PreparedRecords, RowSpool
from td_pinterest_op.records.read import Block, IdentifierReader, Reader, ReaderSettings, RowReader
from td_pinterest_op.records.rows import EXTRA_COMBINATION, EncodedPart, EncodedRows, RecordLayout
from td_pinterest_op.records.spool import SortedFile, Spool, SpoolFile
from td_pinterest_op.settings.table import Settings
from td_pinterest_op.stats import CONTROL, SUPPRESSED, WITHHELD, Stats
from td_pinterest_op.treasure_data.job import Job
from td_pinterest_op.withholding.people import DONE, Lists, People, SingleIdentifierPeople, assign_control

_NUMBER_BYTES = 4

_Rows = list[tuple[int, bytes]]
"""A person's encoded rows, each after the number of the row's `RecordLayout`."""
_ToStrip = dict[bytes, str]
"""Digests of identifiers not to send for a person, with the reasons: SUPPRESSED or CONTROL."""


@contextlib.contextmanager
def open_reader(job: Job, settings: Settings, stats: Stats, *, lists: Lists) -> Iterator[Reader]:
    """Yield a reader that stores a job's valid records, except for people withheld by `lists` or by the control group.

    `lists`: the opt-outs and consents. Raises OSError, JobError if the job's columns cannot be exported, and
    WorkflowError if phone numbers need the package phonenumbers, which is not installed.
    """
    control, are_rows = settings.control, settings.records == "rows"
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


def _find_rows_in_control(settings: ReaderSettings, block: Block, column_keys: Sequence[ColumnKeys]) -> Sequence[bool]:
    """Return for each row whether its person is in the control group. `column_keys`: digests or ids, by column."""
    control, index = settings.control, settings.control_key_index
    if control is None:
        return [False] * len(block[0])
    if index is not None and column_keys[0].column.is_hashed_by_warehouse:
        return [isinstance(number, int) and number % NUMBERS < control.share_of_ten_thousand for number in block[index]]
    return assign_control(control, map(bytes.hex, column_keys[0].keys) if index is None else block[index])


class _FilteredIdentifierReader(IdentifierReader):
    """Reads people's identifiers. Leaves out identifiers that opt-outs, consents or the control group exclude."""

    def __init__(self, people: People | SingleIdentifierPeople, settings: ReaderSettings, stats: Stats) -> None:
        super().__init__(SortedFile(), settings, stats)
        self._people = people
        self._files.callback(people.close)

    def _store_identifiers(self, block: Block, column_keys: Sequence[ColumnKeys]) -> None:
        """Collect a block's people and valid identifiers, to compare with opt-outs and consents after all blocks."""
        self._people.add(column_keys, _find_rows_in_control(self.settings, block, column_keys))

    def _add_unsent_people(self, column_keys: Sequence[ColumnKeys], count: int) -> None:
        """Record the people of `count` rejected rows: if one has opted out, this also applies to other rows."""
        self._people.add(column_keys, [False] * count, may_be_sent=False)

    def _finish_and_count_withheld(self) -> tuple[PreparedRecords, Mapping[str, int]]:
        """Return the unique identifiers to send, as records, and how many identifiers are withheld, by reason."""
        withheld: Counter[str] = Counter()
        for digests, of_part in self._people.find_sendable():
            self._spool.add(digests)
            withheld.update(of_part)
        return super()._finish_and_count_withheld()[0], withheld


class _FilteredRowReader(RowReader):
    """Reads people's rows. Leaves out the people and identifiers that opt-outs, consents or the control group exclude.

    A temporary file keeps the rows, in parts, until people are compared with the lists. `_offsets` and `_ends`: where
    the parts begin and end in the file, and among all people. `_early`: closes files that are not needed for sending.
    """

    def __init__(self, people: People, settings: ReaderSettings, stats: Stats) -> None:
        super().__init__(settings, stats)
        self._people = people
        # External ids are no digests.
        self._file = SpoolFile(encrypted=not all(column.type.is_hashed for column in settings.columns))
        self._offsets, self._ends = [0], [0]
        self._to_strip = Spool(_NUMBER_BYTES + 1 + DIGEST_BYTES)
        self._early = self._files.enter_context(contextlib.ExitStack())
        self._withheld = {reason: self._early.enter_context(contextlib.closing(RowSpool())) for reason in WITHHELD}
        for close in (people.close, self._file.close, self._to_strip.close):
            self._early.callback(close)

    def _store_rows(self, block: Block, column_keys: Sequence[ColumnKeys], rows: EncodedRows) -> None:
        """Collect a block's people. Keep the encoded `rows` in a file until opt-outs and consents are applied."""
        self._people.add(column_keys, _find_rows_in_control(self.settings, block, column_keys))
        for part in rows.parts:
            self._write_part_to_file(part)

    def _add_unsent_people(self, column_keys: Sequence[ColumnKeys], count: int) -> None:
        """Record the people of `count` rejected rows: if one has opted out, this also applies to other rows."""
        self._people.add(column_keys, [False] * count, may_be_sent=False)
        self._write_part_to_file(EncodedPart(count=count, rows=[], layouts=[], positions=[]))

    def _write_part_to_file(self, part: EncodedPart) -> None:
        """Write a part of a block's encoded rows to the temporary file, which is read after the last block."""
        people, rows = [*compress(part.positions, part.layouts)], [*compress(part.rows, part.layouts)]
        data = marshal.dumps((people, [*filter(None, part.layouts)], rows))
        self._file.write(self._offsets[-1], data)
        self._offsets.append(self._offsets[-1] + len(data))
        self._ends.append(self._ends[-1] + part.count)

    def _finish_and_count_withheld(self) -> tuple[PreparedRecords, Mapping[str, int]]:
        """Return the unique rows to send, as records, and how many rows are withheld, by reason."""
        self._people.compare_with_lists()
        limits = zip(pairwise(self._offsets), pairwise(self._ends), self._read_identifiers_to_strip(), strict=True)
        for (offset, end), (first, last), to_strip in limits:
            # The file is private and has no name: nobody else can have written it.
            people, layouts, rows = marshal.loads(self._file.read(offset, end - offset))  # noqa: S302
            outcomes = self._people.find_outcomes(first, last)
            if to_strip:
                self._strip_rows(zip(people, layouts, rows, strict=True), outcomes, to_strip)
            of_rows = bytes(map(outcomes.__getitem__, people))
            for outcome, spool in enumerate((self._kept, *self._withheld.values())):
                if outcome in of_rows:
                    is_selected = [*map(outcome.__eq__, of_rows)]
                    spool.add([*compress(rows, is_selected)], [*compress(layouts, is_selected)])
        withheld = _count_by_first_reason(self._withheld)
        # They are large, and it takes long to send the rest.
        self._early.close()
        return super()._finish_and_count_withheld()[0], withheld

    def _strip_rows(
        self, rows: Iterable[tuple[int, int, bytes]], outcomes: bytearray, identifiers_by_person: Mapping[int, _ToStrip]
    ) -> None:
        """Remove identifiers from people's rows, store the rows that are left, and set the people's `outcomes`."""
        by_person: defaultdict[int, _Rows] = defaultdict(list)
        for person, layout, row in rows:
            if person in identifiers_by_person:
                by_person[person].append((layout, row))
        for person, of_person in by_person.items():
            outcomes[person], left = _strip_person(of_person, identifiers_by_person[person])
            self._kept.add([row for _, row in left], [number for number, _ in left])

    def _read_identifiers_to_strip(self) -> Iterator[Mapping[int, _ToStrip]]:
        """Yield a dict for each part of the file, with the identifiers to remove from each person's rows."""
        # The spool sorts by the first bytes, and has as many buckets as the first of them has values.
        shift = 8 * _NUMBER_BYTES - self._ends[-1].bit_length()
        for person, reason, digest in self._people.find_identifiers_to_strip():
            number = (person << shift).to_bytes(_NUMBER_BYTES, "big")
            self._to_strip.add([number + bytes((WITHHELD.index(reason),)) + digest])
        self._to_strip.finish()
        entries = chain.from_iterable(self._to_strip.read_buckets())
        entry = next(entries, b"")
        for start, stop in pairwise(self._ends):
            to_strip: defaultdict[int, _ToStrip] = defaultdict(dict)
            while entry and (person := int.from_bytes(entry[:_NUMBER_BYTES], "big") >> shift) < stop:
                to_strip[person - start][entry[_NUMBER_BYTES + 1 :]] = WITHHELD[entry[_NUMBER_BYTES]]
                entry = next(entries, b"")
            yield to_strip


def _count_by_first_reason(rows: Mapping[str, RowSpool]) -> Mapping[str, int]:
    """Return how many distinct rows are withheld for each reason. A row with several reasons counts for the first."""
    counts = Counter({reason: of_reason.finish().record_count for reason, of_reason in rows.items()})
    for layout in {layout for of_reason in rows.values() for layout in of_reason.spools if not layout.is_extra}:
        spools = {reason: of_reason.spools[layout] for reason, of_reason in rows.items() if layout in of_reason.spools}
        for buckets in zip(*(spool.read_buckets() for spool in spools.values() if len(spools) > 1), strict=True):
            counted: frozenset[bytes] = frozenset()
            for reason, bucket in zip(spools, map(frozenset, buckets), strict=True):
                counts[reason] -= len(counted & bucket)
                counted |= bucket
    return counts


def _strip_person(rows: _Rows, to_strip: _ToStrip) -> tuple[int, _Rows]:
    """Remove identifiers from a person's rows. Return DONE and the rows left, or a reason's code and no rows."""
    left = {stripped for number, row in rows if (stripped := RecordLayout(number).strip_identifiers(row, to_strip))}
    if not left:
        return 1 + WITHHELD.index(SUPPRESSED if SUPPRESSED in to_strip.values() else CONTROL), []
    identifiers = {(number, row): {*RecordLayout(number).compute_comparable_digests(row)} for number, row in left}
    # A row that lost a key may be part of another one. The lowest is first; before external ids alone is a sort key.
    largest = [row for row in left if not any(identifiers[row] < other for other in identifiers.values())]
    largest.sort(key=lambda of_row: of_row[1][0 if RecordLayout(of_row[0]).hashed_keys else DIGEST_BYTES :])
    return DONE, [largest[0], *((number | EXTRA_COMBINATION, row) for number, row in largest[1:])]
