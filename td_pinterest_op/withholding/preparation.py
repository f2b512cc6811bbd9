"""Readers of an export's rows: they keep all valid records, or only those of people who are not withheld."""

import contextlib
import marshal
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, compress, pairwise

from td_pinterest_op.errors import JobError
from td_pinterest_op.identifiers.phones import require_known_country
from td_pinterest_op.records.columns import Column, find_identifier_columns, find_position, find_row_columns, is_single
from td_pinterest_op.records.digests import DIGEST_BYTES, ColumnKeys
from td_pinterest_op.records.prepared import PreparedRecords, RowSpool
from td_pinterest_op.records.read import Block, IdentifierReader, Reader, ReaderSettings, RowReader
from td_pinterest_op.records.rows import EXTRA_COMBINATION, EncodedPart, EncodedRows, Shape
from td_pinterest_op.records.spool import SortedFile, Spool, SpoolFile
from td_pinterest_op.records.sql import NUMBERS
from td_pinterest_op.settings.table import Settings
from td_pinterest_op.stats import CONTROL, SUPPRESSED, WITHHELD, Stats
from td_pinterest_op.treasure_data.job import Job
from td_pinterest_op.withholding.people import DONE, Lists, People, SingleIdentifierPeople, assign_control

_NUMBER_BYTES = 4

_PeopleRows = tuple[list[int], list[int], list[bytes]]
"""The valid rows of some people: each row's person (from 0, among these people), the number of its shape, the row."""
_Rows = list[tuple[int, bytes]]
"""A person's rows, each after the number of its shape."""
_ToStrip = dict[bytes, str]
"""Identifiers that may not be sent for a person, with the reasons."""


@contextlib.contextmanager
def open_reader(job: Job, settings: Settings, stats: Stats, *, lists: Lists | None) -> Iterator[Reader]:
    """Yield a reader that stores the valid records in a job's result, except those of people to withhold.

    Without lists and control group, nobody is withheld. Raises JobError for its columns, WorkflowError (see `phones`),
    OSError.
    """
    control, are_rows = settings.control, settings.records == "rows"
    if are_rows:
        require_known_country(settings.default_country)
    columns = find_people_columns(job, settings, lists.columns if lists else {})
    by = control.by if control else None
    reading = ReaderSettings(
        columns=columns,
        default_country=settings.default_country,
        control=control,
        by=find_position(by, [name for name, _ in job.schema]) if by else None,
        line_of=job.line_of,
    )
    reader: Reader
    if lists is None and control is None:
        reader = RowReader(reading, stats) if are_rows else IdentifierReader(Spool(), reading, stats)
    elif are_rows:
        reader = _FilteredRowReader(People(lists or Lists()), reading, stats)
    else:
        people = (SingleIdentifierPeople if is_single(columns) else People)(lists or Lists())
        reader = _FilteredIdentifierReader(people, reading, stats)
    with contextlib.closing(reader):
        yield reader


def find_people_columns(job: Job, settings: Settings, lists: Mapping[str, Sequence[Column]]) -> Sequence[Column]:
    """Return the identifier columns of the people's query. Raises JobError if there are none.

    Raises JobError too if an opt-out or consent list has no type in common with them (`lists`: the columns of each
    list), and if the control group cannot be chosen.
    """
    own = {name.lower() for name, _ in job.schema}
    others = {column.name.lower() for columns in lists.values() for column in columns}
    # A name that no query has stays: it is an error.
    named = {name: type_ for name, type_ in settings.columns.items() if name in own or name not in others}
    control = settings.control
    find_columns = find_row_columns if settings.records == "rows" else find_identifier_columns
    columns = find_columns(job, named, by=control.by if control else None)
    _require_shared_types(columns, lists)
    if control and control.by is None and not (is_single(columns) and columns[0].type.is_hashed):
        raise JobError(
            f"{job.label} has no column that identifies each person for the control group: select a column with a key "
            "of each person, and name that column as `by` in `control`"
        )
    return columns


def _require_shared_types(people: Sequence[Column], lists: Mapping[str, Sequence[Column]]) -> None:
    """Raise JobError if a list shares no type of identifier with the people's query, and so could match nobody."""
    own = {column.type.name for column in people}
    for name, columns in lists.items():
        types = {column.type.name for column in columns}
        if own.isdisjoint(types):
            raise JobError(
                f"`{name}` selects {' and '.join(sorted(types))}, but the people's query selects "
                f"{' and '.join(sorted(own))}: without a common type of identifier, the list would match nobody. "
                "Nothing was sent. Select a common type in both queries"
            )


def _find_rows_in_control(settings: ReaderSettings, block: Block, by_column: Sequence[ColumnKeys]) -> Sequence[bool]:
    """Return for each row of a block whether its person is in the control group. `by_column`: the rows' identifiers."""
    control, by = settings.control, settings.by
    if control is None:
        return [False] * len(block[0])
    if by is not None and by_column[0].column.is_judged:
        return [isinstance(number, int) and number % NUMBERS < control.share_of_ten_thousand for number in block[by]]
    return assign_control(control, map(bytes.hex, by_column[0].keys) if by is None else block[by])


class _FilteredIdentifierReader(IdentifierReader):
    """Reads people's identifiers, and stores those that the lists and the control group allow to send."""

    def __init__(self, people: People | SingleIdentifierPeople, settings: ReaderSettings, stats: Stats) -> None:
        super().__init__(SortedFile(), settings, stats)
        self._people = people
        self._files.callback(people.close)

    def _store_identifiers(self, block: Block, by_column: Sequence[ColumnKeys]) -> None:
        """Add the people of a block, with their identifiers, for the comparison with the lists."""
        self._people.add(by_column, _find_rows_in_control(self.settings, block, by_column))

    def _add_unsent(self, by_column: Sequence[ColumnKeys], count: int) -> None:
        """Add people who are not sent, for the comparison with the lists."""
        self._people.add_unsent(by_column, count)

    def _finish_records(self) -> tuple[PreparedRecords, Mapping[str, int]]:
        """Compare everybody with the lists. Return the identifiers to send, and how many are withheld, by reason."""
        withheld: Counter[str] = Counter()
        for digests, of_part in self._people.find_sendable():
            self._spool.add(digests)
            withheld.update(of_part)
        return super()._finish_records()[0], withheld


class _RowStore:
    """Stores people's rows in a temporary file until the comparison with the lists decides who may be sent.

    `ends`: the number of people before the first part, and after each part.
    """

    def __init__(self, *, encrypted: bool) -> None:
        self._file = SpoolFile(encrypted=encrypted)
        self._offsets, self.ends = [0], [0]

    def close(self) -> None:
        """Delete the temporary file."""
        self._file.close()

    def add(self, part: EncodedPart) -> None:
        """Write the valid rows in a part of a block to the temporary file. Raises OSError."""
        people, rows = [*compress(part.positions, part.shapes)], [*compress(part.rows, part.shapes)]
        data = marshal.dumps((people, [*filter(None, part.shapes)], rows))
        self._file.write(self._offsets[-1], data)
        self._offsets.append(self._offsets[-1] + len(data))
        self.ends.append(self.ends[-1] + part.count)

    def read_parts(self) -> Iterator[_PeopleRows]:
        """Yield the stored rows, one part after the other as they were added. Raises OSError."""
        for start, end in pairwise(self._offsets):
            # The file is private and has no name: nobody else can have written it.
            yield marshal.loads(self._file.read(start, end - start))  # noqa: S302


class _FilteredRowReader(RowReader):
    """Reads people's rows, and stores what lists and control group allow to send: rows, and identifiers in them."""

    def __init__(self, people: People, settings: ReaderSettings, stats: Stats) -> None:
        super().__init__(settings, stats)
        self._people = people
        # External ids are no digests.
        self._store = _RowStore(encrypted=not all(column.type.is_hashed for column in settings.columns))
        self._to_strip = Spool(_NUMBER_BYTES + 1 + DIGEST_BYTES)
        self._withheld = {reason: RowSpool() for reason in WITHHELD}
        for close in (people.close, self._store.close, self._to_strip.close):
            self._files.callback(close)
        for spool in self._withheld.values():
            self._files.callback(spool.close)

    def _store_rows(self, block: Block, by_column: Sequence[ColumnKeys], rows: EncodedRows) -> None:
        """Store the rows of a block, and add their people for the comparison with the lists."""
        self._people.add(by_column, _find_rows_in_control(self.settings, block, by_column))
        for part in rows.parts:
            self._store.add(part)

    def _add_unsent(self, by_column: Sequence[ColumnKeys], count: int) -> None:
        """Add people who are not sent, and so have no stored rows, for the comparison with the lists."""
        self._people.add_unsent(by_column, count)
        self._store.add(EncodedPart(count=count, rows=[], shapes=[], positions=[]))

    def _finish_records(self) -> tuple[PreparedRecords, Mapping[str, int]]:
        """Compare everybody with the lists. Return the rows to send, and how many are withheld, by reason."""
        self._people.compare_with_lists()
        parts = zip(
            pairwise(self._store.ends), self._store.read_parts(), self._read_identifiers_to_strip(), strict=True
        )
        for (start, stop), (people, shapes, rows), to_strip in parts:
            outcomes = self._people.find_outcomes(start, stop)
            self._strip_rows((people, shapes, rows), outcomes, to_strip)
            of_rows = bytes(map(outcomes.__getitem__, people))
            for outcome, spool in enumerate((self._kept, *self._withheld.values())):
                if outcome in of_rows:
                    is_selected = [*map(outcome.__eq__, of_rows)]
                    spool.add([*compress(rows, is_selected)], [*compress(shapes, is_selected)])
        # They are large, and it takes long to send the rest.
        self._people.close()
        self._store.close()
        self._to_strip.close()
        withheld = {}
        for reason, spool in self._withheld.items():
            with contextlib.closing(spool):
                withheld[reason] = spool.finish().unique_count
        return super()._finish_records()[0], withheld

    def _strip_rows(self, part: _PeopleRows, outcomes: bytearray, to_strip: Mapping[int, _ToStrip]) -> None:
        """Store the rows of people who lose identifiers, without these, and set the outcomes of these people."""
        by_person: defaultdict[int, _Rows] = defaultdict(list)
        for person, shape, row in zip(*part, strict=True) if to_strip else ():
            if person in to_strip:
                by_person[person].append((shape, row))
        for person, rows in by_person.items():
            outcomes[person], left = _strip_person(rows, to_strip[person])
            self._kept.add([row for _, row in left], [number for number, _ in left])

    def _read_identifiers_to_strip(self) -> Iterator[Mapping[int, _ToStrip]]:
        """Yield for each stored part the identifiers to remove from people's rows, by person. Raises OSError."""
        # The spool sorts by the first bytes, and has as many buckets as the first of them has values.
        shift = 8 * _NUMBER_BYTES - self._store.ends[-1].bit_length()
        for person, reason, digest in self._people.find_identifiers_to_strip():
            number = (person << shift).to_bytes(_NUMBER_BYTES, "big")
            self._to_strip.add([number + bytes((WITHHELD.index(reason),)) + digest])
        self._to_strip.finish()
        entries = chain.from_iterable(self._to_strip.read_buckets())
        entry = next(entries, b"")
        for start, stop in pairwise(self._store.ends):
            to_strip: defaultdict[int, _ToStrip] = defaultdict(dict)
            while entry and (person := int.from_bytes(entry[:_NUMBER_BYTES], "big") >> shift) < stop:
                to_strip[person - start][entry[_NUMBER_BYTES + 1 :]] = WITHHELD[entry[_NUMBER_BYTES]]
                entry = next(entries, b"")
            yield to_strip


def _strip_person(rows: _Rows, to_strip: _ToStrip) -> tuple[int, _Rows]:
    """Return a person's outcome (DONE, or withheld) and rows, without the identifiers that may not be sent.

    The rows are each combination of the other identifiers once, and only the first one counts.
    """
    left = {stripped for number, row in rows if (stripped := Shape(number).strip_identifiers(row, to_strip))}
    if not left:
        return 1 + WITHHELD.index(SUPPRESSED if SUPPRESSED in to_strip.values() else CONTROL), []
    identifiers = {(number, row): {*Shape(number).split_identifiers(row)} for number, row in left}
    # A row that lost a key may be part of another one.
    largest = sorted(row for row in left if not any(identifiers[row] < other for other in identifiers.values()))
    return DONE, [largest[0], *((number | EXTRA_COMBINATION, row) for number, row in largest[1:])]
