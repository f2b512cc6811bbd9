"""Random people, random lists in random spellings: whoever is withheld, and nobody else, is told by sets of values."""

import contextlib
import hashlib
import json
import tracemalloc
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from td_pinterest_op.audiences.actions import parse_export_settings
from td_pinterest_op.identifiers.identifier_types import EMAIL
from td_pinterest_op.records import spool
from td_pinterest_op.records.columns import IdentifierColumn, find_withholding_list_columns
from td_pinterest_op.records.digests import ColumnIdentifiers
from td_pinterest_op.records.prepared import Batch
from td_pinterest_op.records.readers import IdentifierRecordReader
from td_pinterest_op.records.spool import Spool
from td_pinterest_op.settings.structures import ControlGroup
from td_pinterest_op.settings.table import ExportSettings
from td_pinterest_op.stats import WITHHELD_REASONS, Stats
from td_pinterest_op.treasure_data.job import Job
from td_pinterest_op.withholding.filtered_readers import open_record_reader
from td_pinterest_op.withholding.people import (
    MultiIdentifierPeople,
    SingleIdentifierPeople,
    WithholdingListDigests,
    assign_control,
)
from tests.campaigns import examples
from tests.e2e.audiences import is_in_control
from tests.exporting import digest, drop_none
from tests.unit.settings import test_parse

SALT = "spring"
EMAIL_COLUMN = IdentifierColumn(name="email", type=EMAIL, position=0)
LEAST = test_parse.LEAST | {"ignore_invalid_records": True}
KEYS_OF = {"email": "email", "maid": "maid", "phone": "hashed_phone_number", "external_id": "external_id"}

# An identifier: the name of its column, and its number.
Identifier = tuple[str, int]


def normal(identifier: Identifier) -> str:
    type_, number = identifier
    return {
        "email": f"person{number}@shop.example",
        "maid": f"5eed0123-4567-89ab-cdef-{number:012d}",
        "phone": f"1202555{number:04d}",
        "external_id": f"Customer-{number}{'x' * (number % 3 * 10)}",  # 12 to 32 characters
    }[type_]


def sent_as(identifier: Identifier) -> str:
    return normal(identifier) if identifier[0] == "external_id" else digest(normal(identifier))


@st.composite
def spelled(draw: st.DrawFn, identifier: Identifier) -> bytes:
    """Any way to write an identifier that is the same one."""
    plain = normal(identifier)
    if identifier[0] == "external_id":
        text = plain
    elif identifier[0] == "phone":
        text = draw(
            st.sampled_from([f"+{plain}", f"+1 ({plain[1:4]}) {plain[4:7]}-{plain[7:]}", f"00{plain}", digest(plain)])
        )
    else:
        text = draw(st.sampled_from([plain, plain.upper(), digest(plain), digest(plain).upper()]))
    return draw(st.sampled_from(["{}", " {}", "{}\t\n", "\u200b{}\ufeff"])).format(text).encode()


def identifiers(types: Sequence[str]) -> st.SearchStrategy[Identifier]:
    return st.tuples(st.sampled_from(types), st.integers(100, 107))


@st.composite
def tables(
    draw: st.DrawFn, types: Sequence[str], *, arrays: bool, most: int, least: int = 0
) -> tuple[list[set[Identifier]], list[Any]]:
    """People with their identifiers, and the rows that a query gives of them: a value or an array in each column."""
    people = []
    rows = []
    for _ in range(draw(st.integers(least, most))):
        person: set[Identifier] = set()
        row: list[Any] = []
        for type_ in types:
            numbers = draw(st.lists(st.integers(100, 107), max_size=2 if arrays else 1))
            values = [draw(spelled((type_, number))) for number in numbers]
            row.append((*values, None) if arrays else values[0] if values else None)
            person |= {(type_, number) for number in numbers}
        people.append(person)
        rows.append(row)
    return people, rows


@dataclass(frozen=True)
class Case:
    types: Sequence[str]
    arrays: bool
    people: list[set[Identifier]]
    rows: list[list[Any]]
    keys: list[int | None]
    suppressed: set[Identifier] | None
    consented: set[Identifier] | None
    list_rows: Mapping[str, list[Any]]
    percent: int | None

    def keyed_rows(self) -> list[list[Any]]:
        """The rows with the key of each person."""
        return [[*row, key] for row, key in zip(self.rows, self.keys, strict=True)]

    def in_control(self, key: int | None) -> bool:
        return self.percent is not None and is_in_control(str(key), self.percent)


@st.composite
def cases(draw: st.DrawFn, all_types: Sequence[str], *, keyless: bool = False) -> Case:
    """`keyless`: the key for the control group of some people is null."""
    types = draw(st.lists(st.sampled_from(all_types), min_size=1, unique=True))
    arrays = draw(st.booleans())
    people, rows = draw(tables(types, arrays=arrays, most=8))
    members: dict[str, set[Identifier]] = {}
    list_rows = {}
    for name in draw(st.sampled_from([(), ("suppress",), ("consent",), ("suppress", "consent")])):
        of_list, rows_of_list = draw(tables(all_types, arrays=False, most=6))
        members[name] = set[Identifier]().union(*of_list)
        list_rows[name] = rows_of_list
    return Case(
        types=types,
        arrays=arrays,
        people=people,
        rows=rows,
        keys=[draw(st.integers(0, 20) | st.none() if keyless else st.integers(0, 20)) for _ in people],
        suppressed=members.get("suppress"),
        consented=members.get("consent"),
        list_rows=list_rows,
        percent=draw(st.sampled_from([None, 10, 50])),
    )


class Oracle:
    """Section 15 and 16 of the specification, by sets of identifiers."""

    def __init__(self, case: Case) -> None:
        self.case = case
        # Whoever has no key is not sent, and still shields.
        valid = [
            (person, key)
            for person, key in zip(case.people, case.keys, strict=True)
            if person and (case.percent is None or key is not None)
        ]
        self.people = [person for person, _ in valid]
        control = [case.in_control(key) for _, key in valid]
        self.reasons = [self.reason(person, chosen) for person, chosen in zip(self.people, control, strict=True)]
        self.lost_to_suppressed = set[Identifier]().union(*(p for p in case.people if self.is_suppressed(p)))
        self.lost_to_control = set[Identifier]().union(*(p for p, c in zip(self.people, control, strict=True) if c))

    def is_suppressed(self, person: set[Identifier]) -> bool:
        return bool(person & (self.case.suppressed or set()))

    def consents(self, person: set[Identifier]) -> bool:
        return self.case.consented is None or bool(person & self.case.consented)

    def reason(self, person: set[Identifier], is_control: bool) -> str | None:
        if self.is_suppressed(person):
            return "suppressed"
        if not self.consents(person):
            return "without_consent"
        return "control" if is_control else None

    def identifiers(self) -> tuple[set[str], Counter[str]]:
        """What is sent as identifiers, and what is withheld."""
        sent = set()
        withheld = Counter[str]()
        for identifier in set[Identifier]().union(*self.people):
            holders = [person for person in self.people if identifier in person]
            if identifier in self.lost_to_suppressed:
                withheld["suppressed"] += 1
            elif not any(map(self.consents, holders)):
                withheld["without_consent"] += 1
            elif identifier in self.lost_to_control:
                withheld["control"] += 1
            else:
                sent.add(sent_as(identifier))
        return sent, withheld

    def rows(self) -> tuple[set[frozenset[Identifier]], Counter[str]]:
        """The people that are sent as rows, with what is left of them, and how many different ones are withheld."""
        sent: set[frozenset[Identifier]] = set()
        withheld: dict[frozenset[Identifier], str] = {}
        for person, reason in zip(self.people, self.reasons, strict=True):
            left = person - self.lost_to_suppressed - self.lost_to_control
            if reason is None and left:
                sent.add(frozenset(left))
            else:
                lost = "suppressed" if person & self.lost_to_suppressed else "control"
                reasons = [reason or lost, withheld.get(frozenset(person), "control")]
                withheld[frozenset(person)] = min(reasons, key=WITHHELD_REASONS.index)
        return sent, Counter(withheld.values())


def blocks(rows: Sequence[Sequence[Any]], width: int) -> Iterator[list[list[Any]]]:
    """Two rows a block."""
    for start in range(0, len(rows), 2):
        yield [[row[place] for row in rows[start : start + 2]] for place in range(width)]


def result(
    types: Sequence[str], rows: Sequence[Sequence[Any]], *, arrays: bool = False, by: bool = False
) -> tuple[Job, Iterator[list[list[Any]]]]:
    schema = [(type_, "array(varchar)" if arrays else "varchar") for type_ in types] + [("customer", "bigint")] * by
    job = Job(id="5", schema=tuple(schema), records=len(rows), size=None)
    return job, blocks(rows, len(schema))


def begin(**given: Any) -> tuple[ExportSettings, Stats]:
    """The settings and the statistics of a run."""
    settings = parse_export_settings(LEAST | drop_none(given), environ=test_parse.ENVIRON)
    return settings, Stats(action="", ad_account_id="", dry_run=False)


def read_list(job: Job, rows: Iterator[list[list[Any]]], given: ExportSettings, spool: Spool) -> None:
    columns = find_withholding_list_columns(job, given)
    IdentifierRecordReader(columns=columns, stats=Stats(), spool=spool).read(rows)


def exported(case: Case, form: str, all_types: Sequence[str]) -> tuple[Stats, list[Any]]:
    """The statistics, and the batches that the operator would send."""
    control = {"percent": case.percent, "salt": SALT, "by": "Customer"} if case.percent else None
    given, stats = begin(records=form, control=control)
    with contextlib.closing(Spool()) as suppressed, contextlib.closing(Spool()) as consented:
        spools = {"suppress": suppressed, "consent": consented}
        for name, rows in case.list_rows.items():
            read_list(*result(all_types, rows), given, spools[name])
        opened = WithholdingListDigests(spools={name: spools[name] for name in case.list_rows})
        rows = case.keyed_rows() if control else case.rows
        job, of_people = result(case.types, rows, arrays=case.arrays, by=control is not None)
        with open_record_reader(job, given, stats, lists=opened) as reader:
            prepared = reader.read(of_people, progress=lambda _: None)
            batches = list(prepared.read_batches(3))
    stats.add(sent=stats.to_send_count)
    stats.check_sums(complete=True)
    return stats, batches


def body_of(batch: Batch) -> Any:
    return json.loads(b"{%s}" % b"".join(batch.iterate_json_field()))


def digests_of(batch: Batch) -> list[str]:
    return str(body_of(batch)["records"]).split(",")


def records_of(batch: Batch) -> list[dict[str, str]]:
    return list(body_of(batch)["records_v2"])


@settings(max_examples=examples(300))
@given(cases(["email", "maid"], keyless=True))
def test_only_identifiers_of_withheld_people_are_not_sent(case: Case) -> None:
    stats, batches = exported(case, "identifiers", ["email", "maid"])
    sent, withheld = Oracle(case).identifiers()
    assert sorted(sent) == [each for batch in batches for each in digests_of(batch)]
    assert (len(sent), withheld) == (stats.to_send_count, +stats.withheld)
    assert keyless(case) == stats.invalid_by_reason["no_control_key"]


def keyless(case: Case) -> int:
    return case.keys.count(None) if case.percent else 0


@settings(max_examples=examples(300))
@given(cases(list(KEYS_OF), keyless=True))
def test_rows_of_withheld_people_are_not_sent_and_other_rows_lose_their_identifiers(case: Case) -> None:
    stats, batches = exported(case, "rows", list(KEYS_OF))
    people, withheld = Oracle(case).rows()
    records = {tuple(sorted(record.items())) for batch in batches for record in records_of(batch)}
    expected = {tuple(sorted(record.items())) for person in people for record in combinations(person)}
    assert records == expected
    assert keyless(case) == stats.invalid_by_reason["no_control_key"]
    # The first combination of a person has the lowest value of each key.
    lowest = [
        {key: min(record[key] for record in records) for key in records[0]} for records in map(combinations, people)
    ]
    assert len({tuple(sorted(record.items())) for record in lowest}) == stats.to_send_count
    if not case.arrays:
        assert withheld == +stats.withheld


def combinations(person: frozenset[Identifier]) -> list[dict[str, str]]:
    """The records that a person is sent as."""
    records: list[dict[str, str]] = [{}]
    for type_, key in KEYS_OF.items():
        values = [sent_as(identifier) for identifier in person if identifier[0] == type_]
        records = [record | {key: value} for record in records for value in values] if values else records
    return records


@pytest.mark.parametrize("kind", [MultiIdentifierPeople, SingleIdentifierPeople])
def test_memory_grows_with_different_identifiers_only(
    kind: type[MultiIdentifierPeople | SingleIdentifierPeople], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "_MOST_BUFFERED_BYTES", 1 << 18)

    def peak(different: int) -> int:
        digests = [hashlib.sha256(b"%d" % number).digest() for number in range(different)]
        tracemalloc.start()
        try:
            with (
                contextlib.closing(Spool()) as suppressed,
                contextlib.closing(kind(WithholdingListDigests(spools={"suppress": suppressed}))) as people,
            ):
                suppressed.add(digests[:1])
                suppressed.finish()
                for start in range(0, 50_000, 1000):
                    keys = [digests[number % different] for number in range(start, start + 1000)]
                    column = ColumnIdentifiers(column=EMAIL_COLUMN, identifiers=keys, rejected=[], hashed_count=0)
                    people.add_block([column], [False] * 1000)
                assert sum(len(kept) for kept, _ in people.find_sendable()) == different - 1
                if isinstance(people, MultiIdentifierPeople):
                    assert sum(1 for _ in people.find_shared_withheld_identifiers()) == 0
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(2) < peak(50_000) + (4 << 20)


def test_row_with_too_many_combinations_is_withheld_with_its_identifiers() -> None:
    given, stats = begin(records="rows")
    crowd = [normal(("email", number)).encode() for number in range(1_001)]
    people = [[crowd[:1], b"A"], [crowd, b"B"], [[crowd[7], b"c@lee.org"], b"C"], [[], None]]
    job = Job(id="5", schema=(("email", "array(varchar)"), ("external_id", "varchar")), records=4, size=None)
    with contextlib.closing(Spool()) as suppressed:
        read_list(*result(["email"], [[crowd[1_000]]]), given, suppressed)
        with open_record_reader(
            job, given, stats, lists=WithholdingListDigests(spools={"suppress": suppressed})
        ) as reader:
            prepared = reader.read([list(map(list, zip(*people, strict=True)))], progress=lambda _: None)
            sent = [record for batch in prepared.read_batches(100) for record in records_of(batch)]
    assert sorted(sent, key=len) == [{"external_id": "A"}, {"email": digest("c@lee.org"), "external_id": "C"}]
    assert stats.invalid_by_reason == {"too_many_combinations": 1, "null": 1}
    stats.check_sums(complete=False)


def test_without_a_column_for_the_key_the_control_group_is_chosen_by_the_digest() -> None:
    given, stats = begin(control={"percent": "10", "salt": SALT})
    job, of_people = result(["email"], [[normal(("email", number)).encode()] for number in range(1000)])
    with open_record_reader(job, given, stats, lists=WithholdingListDigests()) as reader:
        prepared = reader.read(of_people, progress=lambda _: None)
        (batch,) = prepared.read_batches(1000)
    everybody = {digest(normal(("email", number))) for number in range(1000)}
    chosen = {each for each in everybody if is_in_control(each, 10)}
    assert everybody - chosen == {*digests_of(batch)}
    assert len(chosen) == stats.withheld["control"]


@pytest.mark.parametrize(
    ("types", "arrays", "form"),
    [(["email", "maid"], False, "identifiers"), (["email"], True, "identifiers"), (["external_id"], False, "rows")],
)
def test_without_a_single_column_of_digests_the_control_group_needs_a_key(
    types: list[str], arrays: bool, form: str
) -> None:
    given, stats = begin(records=form, control={"percent": 10, "salt": SALT})
    job, _ = result(types, [], arrays=arrays)
    with (
        pytest.raises(Exception, match="has no column that identifies each person for the control group"),
        open_record_reader(job, given, stats, lists=WithholdingListDigests()),
    ):
        pass


@pytest.mark.parametrize("percent", ["0.01", "5", "33.33", "50"])
def test_a_person_is_chosen_by_the_number_that_the_hash_of_salt_and_key_begins_with(percent: str) -> None:
    # The key is a text unchanged, or the digits of a number.
    digits = {number: b"%d" % number for number in range(-5, 20_000)}
    texts: dict[object, bytes] = {b" A-17 ": b" A-17 ", "A": b"A", b"\xff": b"\xff", b"": b""}
    keys = texts | digits
    numbers = [int(hashlib.sha256(b"spring\n" + key).hexdigest()[:8], 16) for key in keys.values()]
    chosen = assign_control(ControlGroup(percent=Decimal(percent), salt=SALT), keys)
    assert chosen == [number % 10_000 < float(percent) * 100 for number in numbers]
