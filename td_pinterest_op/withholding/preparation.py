"""Readers of an export's rows: they keep all that is valid, or leave out the people who are withheld."""

import contextlib
import marshal
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, compress, groupby, pairwise

from td_pinterest_op.errors import JobError
from td_pinterest_op.identifiers.phones import require_known_country
from td_pinterest_op.records.columns import Column, find_identifier_columns, find_position, find_row_columns
from td_pinterest_op.records.digests import DIGEST_BYTES, ColumnKeys
from td_pinterest_op.records.read import (
    AllIdentifiersReader,
    Block,
    IdentifierReader,
    Reader,
    ReaderSettings,
    RowReader,
)
from td_pinterest_op.records.row_spool import RowSpool
from td_pinterest_op.records.rows import EncodedPart, EncodedRows, Shape, group_by_shape
from td_pinterest_op.records.spool import SortedDigests, SortedFile, Spool, SpoolFile
from td_pinterest_op.records.sql import NUMBERS
from td_pinterest_op.settings.structures import Control
from td_pinterest_op.settings.table import RecordsFormat, Settings
from td_pinterest_op.stats import CONTROL, SUPPRESSED, WITHHELD, Stats
from td_pinterest_op.treasure_data.job import Job
from td_pinterest_op.withholding.lists import require_shared_types, select_columns
from td_pinterest_op.withholding.people import (
    DONE,
    Lists,
    People,
    SingleIdentifierPeople,
    assign_control,
    encode_key,
    make_byte_table,
)

_NUMBER_BYTES = 4
# For each outcome of a person: the table that selects it.
_SELECT = [make_byte_table(outcome.__eq__) for outcome in range(DONE)]

_Rows = list[tuple[int, bytes]]
"""Rows, each after the number of its shape."""
_Losses = dict[bytes, str]
"""Identifiers that a person loses, with the reasons."""


@contextlib.contextmanager
def open_reader(job: Job, settings: Settings, stats: Stats, *, lists: Lists | None) -> Iterator[Reader]:
    """Yield the reader for a job's result. Without lists and control group, it keeps everybody.

    Raises JobError for its columns, WorkflowError (see `phones`), OSError.
    """
    control, are_rows = settings.control, settings.records is RecordsFormat.ROWS
    if are_rows:
        require_known_country(settings.default_country)
    columns = find_people_columns(job, settings, lists.columns if lists else {})
    by = control.by if control else None
    reading = ReaderSettings(
        columns=columns,
        default_country=settings.default_country,
        by=find_position(by, [name for name, _ in job.schema]) if by else None,
        line_of=job.line_of,
    )
    reader: Reader
    if lists is None and control is None:
        reader = RowReader(reading, stats) if are_rows else AllIdentifiersReader(Spool(), reading, stats)
    elif are_rows:
        reader = _FilteredRowReader(People(lists or Lists()), control, reading, stats)
    else:
        people = (SingleIdentifierPeople if _is_single(columns) else People)(lists or Lists())
        reader = _FilteredIdentifierReader(people, control, reading, stats)
    with contextlib.closing(reader):
        yield reader


def find_people_columns(job: Job, settings: Settings, lists: Mapping[str, Sequence[Column]]) -> Sequence[Column]:
    """Return the identifier columns of the people's query. `lists`: those of the lists, by name.

    Raises JobError, also for a list without any of their types, and for a control group that cannot be chosen.
    """
    named = select_columns(
        settings.columns,
        own={name.lower() for name, _ in job.schema},
        others={column.name.lower() for columns in lists.values() for column in columns},
    )
    control, are_rows = settings.control, settings.records is RecordsFormat.ROWS
    columns = (find_row_columns if are_rows else find_identifier_columns)(
        job, named, by=control.by if control else None
    )
    require_shared_types(columns, lists)
    if control and control.by is None and not (_is_single(columns) and columns[0].type.is_hashed):
        raise JobError(
            f"{job.label} has no column that identifies each person for the control group: select a column with a key "
            "of each person, and name that column as `by` in `control`"
        )
    return columns


def _is_single(columns: Sequence[Column]) -> bool:
    """Return whether each row has a single value."""
    return len(columns) == 1 and not columns[0].is_array


def _assign_block(
    control: Control | None, by: int | None, block: Block, by_column: Sequence[ColumnKeys]
) -> Sequence[bool]:
    """Return for each row whether it is in the control group. `by`: the column to choose by, else the digest."""
    if control is None:
        return [False] * len(block[0])
    if by is not None and by_column[0].column.is_judged:
        return [isinstance(number, int) and number % NUMBERS < control.share_of_ten_thousand for number in block[by]]
    digests = (digest.hex().encode() for digest in by_column[0].keys)
    return assign_control(control, digests if by is None else map(encode_key, block[by]))


class _FilteredIdentifierReader(IdentifierReader):
    """Keeps identifiers with their people, and prepares those that may be sent."""

    def __init__(
        self,
        people: People | SingleIdentifierPeople,
        control: Control | None,
        settings: ReaderSettings,
        stats: Stats,
    ) -> None:
        super().__init__(settings, stats)
        self._people, self._control = people, control
        self._files.callback(people.close)

    def _keep_identifiers(self, block: Block, by_column: Sequence[ColumnKeys]) -> None:
        self._people.add(by_column, _assign_block(self._control, self.settings.by, block, by_column))

    def _add_unsent(self, by_column: Sequence[ColumnKeys], count: int) -> None:
        self._people.add_unsent(by_column, count)

    def _finish_records(self) -> tuple[SortedDigests, Mapping[str, int]]:
        """Return the identifiers that may be sent, and how many are withheld by reason."""
        kept = SortedFile()
        self._files.callback(kept.close)
        withheld: Counter[str] = Counter()
        for digests, of_part in self._people.find_sendable():
            kept.append(b"".join(digests))
            withheld.update(of_part)
        return kept, withheld


@dataclass(frozen=True, slots=True)
class _PeopleRows:
    """The valid rows of `people` successive people. `places`: which of the people each row belongs to, from 0."""

    people: int
    places: list[int]
    shapes: list[int]
    rows: list[bytes]

    def select(self, selected: bytearray) -> dict[Shape, Sequence[bytes]]:
        """Return the rows of the people whose byte in `selected` is not 0, by shape."""
        is_selected = bytes(map(selected.__getitem__, self.places))
        return group_by_shape([*compress(self.rows, is_selected)], [*compress(self.shapes, is_selected)])

    def by_person(self, places: Mapping[int, object]) -> dict[int, _Rows]:
        """Return the rows of the people at these places, by place."""
        found: dict[int, _Rows] = {}
        for place, shape, row in zip(self.places, self.shapes, self.rows, strict=True) if places else ():
            if place in places:
                found.setdefault(place, []).append((shape, row))
        return found


class _RowStore:
    """Keeps people's rows in a file until it is known which people may be sent."""

    def __init__(self, *, encrypted: bool) -> None:
        self._file = SpoolFile(encrypted=encrypted)
        self._offsets = [0]
        self.people_counts: list[int] = []

    def close(self) -> None:
        self._file.close()

    def add(self, part: EncodedPart) -> None:
        """Keep the valid rows of a part. Raises OSError."""
        positions, rows = [*compress(part.positions, part.shapes)], [*compress(part.rows, part.shapes)]
        data = marshal.dumps((part.count, positions, [*filter(None, part.shapes)], rows))
        self._file.write(self._offsets[-1], data)
        self._offsets.append(self._offsets[-1] + len(data))
        self.people_counts.append(part.count)

    def parts(self) -> Iterator[_PeopleRows]:
        """Yield the rows of each part that was added. Raises OSError."""
        for start, end in pairwise(self._offsets):
            # The file is private and has no name: nobody else can have written it.
            yield _PeopleRows(*marshal.loads(self._file.read(start, end - start)))  # noqa: S302


class _FilteredRowReader(RowReader):
    """Keeps rows, and prepares those that may be sent, without the keys that may not be sent."""

    def __init__(self, people: People, control: Control | None, settings: ReaderSettings, stats: Stats) -> None:
        super().__init__(settings, stats)
        self._people, self._control = people, control
        # External ids are no digests.
        self._store = _RowStore(encrypted=not all(column.type.is_hashed for column in settings.columns))
        self._losses = Spool(_NUMBER_BYTES + 1 + DIGEST_BYTES)
        self._withheld = {reason: RowSpool() for reason in WITHHELD}
        for close in (people.close, self._store.close, self._losses.close):
            self._files.callback(close)
        for spool in self._withheld.values():
            self._files.callback(spool.close)

    def _keep_rows(self, block: Block, by_column: Sequence[ColumnKeys], rows: EncodedRows) -> None:
        self._people.add(by_column, _assign_block(self._control, self.settings.by, block, by_column))
        for part in rows.parts:
            self._store.add(part)

    def _add_unsent(self, by_column: Sequence[ColumnKeys], count: int) -> None:
        self._people.add_unsent(by_column, count)
        self._store.add(EncodedPart(count=count, rows=[], shapes=[], positions=[]))

    def _finish_records(self) -> tuple[RowSpool, Mapping[str, int]]:
        """Return the rows that may be sent, and how many are withheld by reason."""
        self._people.compare()
        ends = [*accumulate(self._store.people_counts)]
        losers = _split_losers(self._read_losers(), ends)
        for part, end, of_part in zip(self._store.parts(), ends, losers, strict=True):
            first = end - part.people
            outcomes = self._people.outcomes(first, end)
            self._strip_losers(part, outcomes, {person - first: losses for person, losses in of_part})
            self._distribute_rows(part, outcomes)
        # They are large, and it takes long to send the rest.
        self._people.close()
        self._store.close()
        self._losses.close()
        return super()._finish_records()[0], {reason: _finish_spool(spool) for reason, spool in self._withheld.items()}

    def _strip_losers(self, part: _PeopleRows, outcomes: bytearray, losses: Mapping[int, _Losses]) -> None:
        """Keep the rows of people who lose identifiers, without these, and set the outcomes of these people."""
        for place, rows in part.by_person(losses).items():
            outcomes[place], left = _strip_person(rows, losses[place])
            self._kept.add(group_by_shape([row for _, row in left], [number for number, _ in left]))

    def _distribute_rows(self, part: _PeopleRows, outcomes: bytearray) -> None:
        """Add each person's rows to the spool of the rows to send, or of those withheld for a reason."""
        for outcome, spool in enumerate((self._kept, *self._withheld.values())):
            if outcome in outcomes:
                spool.add(part.select(outcomes.translate(_SELECT[outcome])))

    def _read_losers(self) -> Iterator[tuple[int, _Losses]]:
        """Yield the people who are sent but lose identifiers, with these and the reasons. Raises OSError."""
        # The spool sorts by the first bytes, and has as many buckets as the first of them has values.
        shift = 8 * _NUMBER_BYTES - self._people.person_count.bit_length()
        for person, reason, digest in self._people.identifiers_to_strip():
            number = (person << shift).to_bytes(_NUMBER_BYTES, "big")
            self._losses.add([number + bytes((WITHHELD.index(reason),)) + digest])
        self._losses.finish()
        entries = chain.from_iterable(self._losses.read_buckets())
        for number, of_person in groupby(entries, key=lambda entry: entry[:_NUMBER_BYTES]):
            losses = {entry[_NUMBER_BYTES + 1 :]: WITHHELD[entry[_NUMBER_BYTES]] for entry in of_person}
            yield int.from_bytes(number, "big") >> shift, losses


def _split_losers(
    losers: Iterator[tuple[int, _Losses]], ends: Iterable[int]
) -> Iterator[Sequence[tuple[int, _Losses]]]:
    """Yield the people who lose identifiers, part by part. `ends`: the first person after each part."""
    loser = next(losers, None)
    for end in ends:
        part = []
        while loser and loser[0] < end:
            part.append(loser)
            loser = next(losers, None)
        yield part


def _strip_person(rows: _Rows, losses: _Losses) -> tuple[int, _Rows]:
    """Return a person's outcome and rows without some identifiers: DONE and rows, or a reason and none.

    The rows are each combination of the other identifiers once, and only the first one counts.
    """
    left = {stripped for number, row in rows if (stripped := Shape(number).strip_identifiers(row, losses))}
    if not left:
        return 1 + WITHHELD.index(SUPPRESSED if SUPPRESSED in losses.values() else CONTROL), []
    identifiers = {(number, row): {*Shape(number).split_identifiers(row)} for number, row in left}
    # A row that lost a key may be part of another one.
    largest = sorted(row for row in left if not any(identifiers[row] < other for other in identifiers.values()))
    return DONE, [largest[0], *((Shape(number).extra_number, row) for number, row in largest[1:])]


def _finish_spool(spool: RowSpool) -> int:
    """Finish and close a spool, and return how many different rows it has."""
    with contextlib.closing(spool):
        spool.finish()
        return spool.unique_count
