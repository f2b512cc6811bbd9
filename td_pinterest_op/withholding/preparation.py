"""How an export's rows are read: all that is valid is kept, or what is left without those who are withheld."""

from __future__ import annotations

import contextlib
import marshal
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, compress, groupby, pairwise
from typing import Any

from td_pinterest_op.errors import JobError
from td_pinterest_op.identifiers.phones import check_country
from td_pinterest_op.records.columns import Column, identifier_columns, position_of, row_columns
from td_pinterest_op.records.digests import DIGEST_BYTES, ColumnKeys
from td_pinterest_op.records.read import AllIdentifiers, Block, IdentifierPreparation, Preparation, RowPreparation
from td_pinterest_op.records.row_spool import RowSpool
from td_pinterest_op.records.rows import EncodedRows, Shape, group_by_shape
from td_pinterest_op.records.spool import Sorted, SortedFile, Spool
from td_pinterest_op.records.spool_file import SpoolFile
from td_pinterest_op.records.sql import NUMBERS
from td_pinterest_op.settings.structures import Control
from td_pinterest_op.settings.table import RecordsFormat, Settings
from td_pinterest_op.stats import CONTROL, SUPPRESSED, WITHHELD, Stats
from td_pinterest_op.treasure_data.job import Job
from td_pinterest_op.withholding.lists import require_shared_types, select_columns
from td_pinterest_op.withholding.people import (
    IS_DONE,
    Lists,
    People,
    SingleIdentifierPeople,
    assign_control,
    encode_key,
)

_NUMBER_BYTES = 4
_NOBODY: tuple[int, dict[bytes, str]] = (1 << 8 * _NUMBER_BYTES, {})
# The codes of `People` but for IS_DONE, which those get as well whose rows are sent without some identifiers.
_CODES = range(IS_DONE)
# For each code: what makes 1 of it, and 0 of all others.
_WHERE = [bytes(code == other for other in range(256)) for code in _CODES]

_Records = list[tuple[int, bytes]]
"""Rows, each behind the number of its shape."""


@contextlib.contextmanager
def open_reader(job: Job, settings: Settings, stats: Stats, *, lists: Lists | None) -> Iterator[Preparation]:
    """What reads the result of a job, until the end of the block; without lists or control group, all is sent.

    Raises JobError for its columns, WorkflowError (see `phones`), OSError.
    """
    control, are_rows = settings.control, settings.records is RecordsFormat.ROWS
    if are_rows:
        check_country(settings.default_country)
    name = control.by if control else None
    columns = people_columns(job, settings, lists.columns if lists else {})
    by = position_of(job, name) if name else None
    of_rows: dict[str, Any] = {
        "columns": columns,
        "stats": stats,
        "by": by,
        "line_of": job.line_of,
        "default_country": settings.default_country,
    }
    preparation: Preparation
    if lists is None and control is None:
        preparation = RowPreparation(**of_rows) if are_rows else AllIdentifiers(Spool(), **of_rows)
    elif are_rows:
        preparation = _WithheldRows(People(lists or Lists()), control, **of_rows)
    else:
        people = (SingleIdentifierPeople if _is_single(columns) else People)(lists or Lists())
        preparation = _WithheldIdentifiers(people, control, **of_rows)
    with contextlib.closing(preparation):
        yield preparation


def people_columns(job: Job, settings: Settings, lists: Mapping[str, Sequence[Column]]) -> Sequence[Column]:
    """Return the identifier columns of the people's query. `lists`: those of the lists, by name.

    Raises JobError, also for a list without any of their types, and for a control group that cannot be chosen.
    """
    named = select_columns(
        settings.columns,
        own={name.lower() for name, _ in job.schema},
        others={column.name.lower() for columns in lists.values() for column in columns},
    )
    control, are_rows = settings.control, settings.records is RecordsFormat.ROWS
    columns = (row_columns if are_rows else identifier_columns)(job, named, by=control.by if control else None)
    require_shared_types(columns, lists)
    if control and control.by is None and not (_is_single(columns) and columns[0].type.is_hashed):
        raise JobError(
            f"{job.label} needs a column for the control group: the result has no single column of digests to choose "
            "by. Select a key of each person, and name it in `control` as `by`"
        )
    return columns


def _is_single(columns: Sequence[Column]) -> bool:
    return len(columns) == 1 and not columns[0].is_array


def _chosen(control: Control | None, by: int | None, block: Block, by_column: Sequence[ColumnKeys]) -> Sequence[bool]:
    """For each row whether it is in the control group, by the column at `by`; None: by the digest."""
    if control is None:
        return [False] * len(block[0])
    if by is not None and by_column[0].column.is_judged:
        return [isinstance(number, int) and number % NUMBERS < control.of_ten_thousand for number in block[by]]
    digests = (digest.hex().encode() for digest in by_column[0].keys)
    return assign_control(control, digests if by is None else map(encode_key, block[by]))


class _WithheldIdentifiers(IdentifierPreparation):
    """Keeps identifiers with their people, and gives back those that may be sent."""

    def __init__(self, people: People | SingleIdentifierPeople, control: Control | None, **of_rows: Any) -> None:
        super().__init__(**of_rows)
        self._people, self._control = people, control
        self._files.callback(people.close)

    def _keep(self, block: Block, by_column: Sequence[ColumnKeys]) -> None:
        self._people.add(by_column, _chosen(self._control, self._by, block, by_column))

    def _shield(self, by_column: Sequence[ColumnKeys], count: int) -> None:
        self._people.shield(by_column, count)

    def _finish(self) -> tuple[Sorted, Mapping[str, int]]:
        kept = SortedFile()
        self._files.callback(kept.close)
        withheld: Counter[str] = Counter()
        for digests, of_part in self._people.identifiers():
            kept.append(b"".join(digests))
            withheld.update(of_part)
        return kept, withheld


@dataclass(frozen=True, slots=True)
class _Block:
    """The valid rows of a block that holds `people`: `places` says whose each row is, `shapes` what it is made of."""

    people: int
    places: list[int]
    shapes: list[int]
    rows: list[bytes]

    def group_by_shape(self, chosen: bytearray) -> dict[Shape, Sequence[bytes]]:
        """The rows of people for whom `chosen` is not 0."""
        is_chosen = bytes(map(chosen.__getitem__, self.places))
        return group_by_shape([*compress(self.rows, is_chosen)], [*compress(self.shapes, is_chosen)])

    def records(self, places: Container[int]) -> dict[int, _Records]:
        """The rows of these people."""
        records: dict[int, _Records] = {}
        for place, number, row in zip(self.places, self.shapes, self.rows, strict=True):
            if place in places:
                records.setdefault(place, []).append((number, row))
        return records


class _WithheldRows(RowPreparation):
    """Keeps rows, and gives back those that may be sent, without the keys that may not."""

    def __init__(self, people: People, control: Control | None, **of_rows: Any) -> None:
        super().__init__(**of_rows)
        self._people, self._control = people, control
        # External ids are no digests.
        self._store = SpoolFile(encrypted=not all(column.type.is_hashed for column in self.columns))
        self._ends = [0]  # of each block
        self._withheld = {reason: RowSpool() for reason in WITHHELD}
        files: Sequence[People | SpoolFile | RowSpool] = (people, self._store, *self._withheld.values())
        for file in files:
            self._files.callback(file.close)

    def _keep(self, block: Block, by_column: Sequence[ColumnKeys], rows: EncodedRows) -> None:
        self._people.add(by_column, _chosen(self._control, self._by, block, by_column))
        for part in rows.parts:
            places, shapes = [*compress(part.positions, part.shapes)], [*filter(None, part.shapes)]
            self._write(part.count, places, shapes, [*compress(part.rows, part.shapes)])

    def _shield(self, by_column: Sequence[ColumnKeys], count: int) -> None:
        self._people.shield(by_column, count)
        self._write(count, [], [], [])

    def _write(self, *block: Any) -> None:
        """Keep the values of a `_Block`."""
        data = marshal.dumps(block)
        self._store.write(self._ends[-1], data)
        self._ends.append(self._ends[-1] + len(data))

    def _finish(self) -> tuple[RowSpool, Mapping[str, int]]:
        self._people.compare()
        for block, codes, losses in self._judged():
            for place, records in block.records(losses).items() if losses else ():
                codes[place], left = _without(records, losses[place])
                self._kept.add(group_by_shape([row for _, row in left], [number for number, _ in left]))
            self._kept.add(block.group_by_shape(codes.translate(_WHERE[0])))
            for code, spool in enumerate(self._withheld.values(), 1):
                if code in codes:
                    spool.add(block.group_by_shape(codes.translate(_WHERE[code])))
        withheld: dict[str, int] = {}
        for reason, spool in self._withheld.items():
            spool.finish()
            withheld[reason] = spool.unique
            spool.close()
        # They are large, and it takes long to send the rest.
        self._people.close()
        self._store.close()
        return super()._finish()[0], withheld

    def _judged(self) -> Iterator[tuple[_Block, bytearray, dict[int, dict[bytes, str]]]]:
        """All blocks, each with the codes of its people (see `People`), and what those lose who are sent."""
        losers = self._losers()
        person, losses = next(losers, _NOBODY)
        first = 0
        for begin, end_of_block in pairwise(self._ends):
            # Of our own file, which has no name: nobody else can have written it.
            block = _Block(*marshal.loads(self._store.read(begin, end_of_block - begin)))  # noqa: S302
            end = first + block.people
            of_block = {}
            while person < end:
                of_block[person - first] = losses
                person, losses = next(losers, _NOBODY)
            yield block, self._people.codes(first, end), of_block
            first = end

    def _losers(self) -> Iterator[tuple[int, dict[bytes, str]]]:
        """In their order: people who are not withheld, and identifiers that they lose, each with the reason."""
        # The spool sorts by the first bytes, and has as many buckets as the first of them has values.
        shift = 8 * _NUMBER_BYTES - self._people.count.bit_length()
        losses = Spool(_NUMBER_BYTES + 1 + DIGEST_BYTES)
        self._files.callback(losses.close)
        for person, why, digest in self._people.identifiers_to_strip():
            losses.add([(person << shift).to_bytes(_NUMBER_BYTES, "big") + bytes((WITHHELD.index(why),)) + digest])
        losses.finish()
        entries = chain.from_iterable(losses.buckets())
        for person, of_one in groupby(entries, key=lambda entry: entry[:_NUMBER_BYTES]):
            yield (
                int.from_bytes(person, "big") >> shift,
                {entry[_NUMBER_BYTES + 1 :]: WITHHELD[entry[_NUMBER_BYTES]] for entry in of_one},
            )


def _without(records: _Records, losses: Mapping[bytes, str]) -> tuple[int, _Records]:
    """The records of a person without these identifiers, and a code: why nothing is left, or that some are.

    They are each combination of the other identifiers once, and the first one counts.
    """
    left = {record for number, row in records if (record := Shape(number).without(row, losses))}
    if not left:
        return 1 + WITHHELD.index(SUPPRESSED if SUPPRESSED in losses.values() else CONTROL), []
    whole = {(number, row): {*Shape(number).identifiers(row)} for number, row in left}
    largest = sorted(record for record in left if not any(whole[record] < other for other in whole.values()))
    return IS_DONE, [*largest[:1], *((Shape(number).uncounted, row) for number, row in largest[1:])]
