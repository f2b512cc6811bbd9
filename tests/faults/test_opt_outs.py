"""Random tries of one session: people and lists in random spellings, lists that change in between, deaths anywhere.

Whatever happens, a try sends nobody who must not be sent by the lists as they are then, and everybody else once it ends
well. Who that is, is known by sets of identifiers.
"""

import contextlib
import dataclasses
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from td_pinterest_op.audiences.actions import Add, Create, Replace
from td_pinterest_op.errors import ExportError, InvalidRowsError, JobError, LimitError, StoppedError, UnexpectedError
from td_pinterest_op.http.transport import RawResponse, Transport
from tests.campaigns import examples
from tests.emulators.td import TreasureData
from tests.exporting import Services, people
from tests.faults.conftest import Stage, new_stage, use_transport
from tests.unit.withholding.test_people import (
    KEYS_OF,
    SALT,
    Case,
    Identifier,
    Oracle,
    combinations,
    tables,
)

DATABASE = "crm"
# The values of the setting `records`, and the types of identifiers that each allows.
FORMS = {"identifiers": ["email", "maid"], "rows": list(KEYS_OF)}
LISTS = ("suppress", "consent")
_tasks = itertools.count(1)

# A record as it is sent: its keys, or the value of a single identifier.
Record = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class OneList:
    """A list as it is during a try: its columns, who is in it, and the rows that its query gives."""

    types: Sequence[str]
    members: set[Identifier]
    rows: list[Any]

    def is_usable(self, name: str, case: Case, *, may_be_empty: bool) -> bool:
        if not self.rows:
            return name == "suppress" and may_be_empty and not set(self.types).isdisjoint(case.types)
        return bool(self.members) and not set(self.types).isdisjoint(case.types)


@dataclass(frozen=True)
class Try:
    """A try; it dies at its `dies_at`-th request, counted from 1, before it leaves or when it was carried out."""

    lists: Mapping[str, OneList]
    dies_at: int | None
    dies_after: bool
    is_new_attempt: bool


@dataclass(frozen=True)
class History:
    action: str
    if_exists: str
    form: str
    may_be_empty: bool
    case: Case
    tries: list[Try]

    def case_of(self, one: Try) -> Case:
        """The people, compared with the lists as they are then."""
        suppress, consent = (one.lists.get(name) for name in LISTS)
        return dataclasses.replace(
            self.case,
            suppressed=suppress.members if suppress else None,
            consented=consent.members if consent else None,
        )

    def allowed(self, one: Try) -> set[Record]:
        """What may be sent in a try."""
        oracle = Oracle(self.case_of(one))
        if self.form == "identifiers":
            return {frozenset({("", digest)}) for digest in oracle.identifiers()[0]}
        return {frozenset(record.items()) for person in oracle.rows()[0] for record in combinations(person)}

    def is_to_succeed(self, one: Try) -> bool:
        usable = (
            of_list.is_usable(name, self.case, may_be_empty=self.may_be_empty) for name, of_list in one.lists.items()
        )
        return all(usable) and bool(self.allowed(one))


@st.composite
def histories(draw: st.DrawFn) -> History:
    form = draw(st.sampled_from(list(FORMS)))
    types = draw(_subsets(form))
    names = draw(st.sampled_from([LISTS[:1], LISTS[1:], LISTS]))
    persons, rows = draw(tables(types, arrays=False, least=3, most=10))
    return History(
        action=draw(st.sampled_from([Add.action.name, Create.action.name, Replace.action.name])),
        if_exists=draw(st.sampled_from(["fail", "add", "replace"])),
        form=form,
        may_be_empty=draw(st.booleans()),
        case=Case(
            types=types,
            arrays=False,
            people=persons,
            rows=rows,
            keys=[draw(st.sampled_from([*range(20), None])) for _ in persons],
            suppressed=None,
            consented=None,
            list_rows={},
            percent=draw(st.sampled_from([None, None, 20])),
        ),
        tries=[*draw(st.lists(_tries(form, names), max_size=3)), draw(_tries(form, names, is_last=True))],
    )


def _subsets(form: str) -> st.SearchStrategy[list[str]]:
    """Columns of a query; mostly all that there are."""
    some = st.lists(st.sampled_from(FORMS[form]), min_size=1, unique=True)
    return st.one_of(st.just(FORMS[form]), st.just(FORMS[form]), some)


@st.composite
def _tries(draw: st.DrawFn, form: str, names: Sequence[str], *, is_last: bool = False) -> Try:
    lists = {}
    for name in names:
        of_list = draw(_subsets(form))
        # Many consent, and few opt out.
        least = draw(st.sampled_from([0, 1, 1, 1]))
        most = 3 if name == "suppress" else 12
        members, rows = draw(tables(of_list, arrays=False, least=least, most=most))
        lists[name] = OneList(types=of_list, members=set[Identifier]().union(*members), rows=rows)
    return Try(
        lists=lists,
        dies_at=None if is_last else draw(st.one_of(st.none(), st.integers(1, 30), st.integers(10, 30))),
        dies_after=draw(st.booleans()),
        is_new_attempt=draw(st.booleans()),
    )


class WatchedTransport(Transport):
    """Notes the records of every request that leaves, and lets the process die where the try says."""

    now: ClassVar[Try]
    requests: ClassVar[int] = 0
    is_dead: ClassVar[bool] = False
    records: ClassVar[list[Record]] = []

    @classmethod
    def begin(cls, one: Try) -> None:
        cls.now = one
        cls.requests = 0
        cls.is_dead = False
        cls.records = []

    @contextlib.contextmanager
    def open_response(self, method: str, url: str, *, body: bytes | None, **rest: Any) -> Iterator[RawResponse]:
        mine = type(self)
        mine.requests += 1
        is_last = mine.requests == mine.now.dies_at
        mine.is_dead = mine.is_dead or (is_last and not mine.now.dies_after)
        if mine.is_dead:
            raise StoppedError("the process is dead")
        mine.records += _records_of(body)
        with super().open_response(method, url, body=body, **rest) as response:
            mine.is_dead = is_last
            if mine.is_dead:
                raise StoppedError("the process is dead")
            yield response


def _records_of(body: bytes | None) -> list[Record]:
    if not body or not body.startswith(b"{"):
        return []
    content = json.loads(body)
    rows: list[dict[str, str]] = content.get("records_v2", [])
    return [
        *(frozenset({("", digest)}) for digest in content.get("records", "").split(",") if digest),
        *(frozenset(row.items()) for row in rows),
    ]


def load_table(td: TreasureData, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Make a table of these rows, whose texts are bytes."""
    texts = [[value.decode() if isinstance(value, bytes) else value for value in row] for row in rows]
    td.create(DATABASE, table, [dict(zip(columns, row, strict=True)) for row in texts], columns=columns)


def run_tries(stage: Stage, history: History) -> Iterator[tuple[Try, list[Record], ExportError | None]]:
    """Run each attempt; return it with the records that were sent and the error that ended it."""
    td = stage.services.td
    case = history.case
    by = ["customer"] if case.percent else []
    load_table(td, "people", [*case.types, *by], case.keyed_rows() if by else case.rows)
    audience_id = stage.audience(people(3, first=900), name="Others")
    named = {"audience_name": "Shoppers", "if_exists": history.if_exists}
    wanted: dict[str, Any] = {
        "action": history.action,
        **(named if history.action == Create.action.name else {"audience_id": audience_id}),
        "records": history.form,
        "control": {"percent": case.percent, "salt": SALT, "by": "customer"} if case.percent else None,
        "ignore_invalid_records": True,
        "allow_empty_suppress": history.may_be_empty,
        "limit_records_per_request": 3,
        "max_in_flight": 1,
    }
    task = {"task_name": f"+opt_outs+{next(_tasks)}", "session_uuid": f"of {stage.account}", "database": DATABASE}
    queries = {name: f"SELECT * FROM {name}ed" for name in history.tries[0].lists}
    attempt = 1
    for one in history.tries:
        for name, of_list in one.lists.items():
            load_table(td, f"{name}ed", of_list.types, of_list.rows)
        attempt += one.is_new_attempt
        WatchedTransport.begin(one)
        error = None
        try:
            stage.export(wanted, query="SELECT * FROM people", **queries, **task, attempt_id=attempt)
        except UnexpectedError:
            raise
        except ExportError as raised:
            error = raised
        yield one, WatchedTransport.records, error


@settings(max_examples=examples(80), suppress_health_check=list(HealthCheck))
@given(history=histories())
def test_no_attempt_sends_people_whom_the_current_lists_withhold(history: History, shared_services: Services) -> None:
    stage = new_stage(shared_services)
    with use_transport(WatchedTransport):
        for one, sent, error in run_tries(stage, history):
            allowed = history.allowed(one)
            assert set(sent) <= allowed
            if isinstance(error, StoppedError):
                event("died")
                continue
            assert history.is_to_succeed(one) == (error is None), error
            if error is None:
                event("sent")
                assert allowed == set(sent)
            else:
                event(type(error).__name__)
                assert isinstance(error, JobError | LimitError | InvalidRowsError)
                assert sent == []
    if error is None and history.form == "identifiers" and history.action != Add.action.name:
        # The newest one: created by the run, or the only one. Members stay where a rerun adds to the audience.
        members = stage.members(stage.audiences()[-1])
        wanted = {digest for record in allowed for _, digest in record}
        is_added = history.action == Create.action.name and history.if_exists == "add"
        assert wanted == (members & wanted if is_added else members)
