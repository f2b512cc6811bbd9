"""Random histories: a session dies, loses answers, is run again at once, and meets another one, while reads lag.

At the end each session is run once more, undisturbed. Then there is one audience, whatever happened, with exactly the
people of the last run, and no run made more than one customer list.
"""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from td_pinterest_op.audiences.actions import Add, Clear, Create, CreateActalike, Replace
from td_pinterest_op.errors import AudienceError, ExportError, StoppedError, UnexpectedError
from td_pinterest_op.http.transport import Failure, NoResponseError, Response, Transport
from tests.campaigns import examples
from tests.exporting import Services, digests, people
from tests.faults.conftest import Stage, new_stage, use_transport
from tests.faults.test_matrix import PARTLY_SENT, check_partly_sent

RECORDS = 12
NAME = "Shoppers"
SMALL = {"limit_records_per_request": 5, "max_in_flight": 1}
SESSIONS = ("2026-11-25T00:00:00+00:00", "2026-11-26T00:00:00+00:00")
# Long after any lag.
LATER = 3600.0


class Twist(enum.Enum):
    """What happens to a write."""

    DIES_BEFORE = "the process dies before it leaves"
    DIES_AFTER = "the process dies before the answer comes"
    LOST = "the answer is lost"
    NO_ID = "the answer has no id"
    MEANWHILE = "the other session runs from its beginning to its end before it leaves"


class Fate(enum.Enum):
    """What happens to a request."""

    ANSWERED = "it is answered"
    REFUSED = "it is refused"
    NEVER_ARRIVES = "the connection breaks before it arrives"
    LOST = "the answer is lost"


@dataclass(kw_only=True)
class Try:
    """One run of a session, `pause` seconds after the one before; `twists` by the number of the write."""

    session: int
    pause: float
    twists: Mapping[int, Twist]
    writes: int = 0
    is_dead: bool = False


@dataclass(kw_only=True)
class History:
    """The runs of both sessions, and how far reads lag behind writes, in seconds."""

    tries: list[Try]
    listing_lag: float
    reading_lag: float
    move_lag: float

    @property
    def sessions(self) -> list[int]:
        """Those that ran, in their order."""
        ran = {one.session for one in self.tries}
        met = any(Twist.MEANWHILE in one.twists.values() for one in self.tries)
        return [0, 1] if met else sorted(ran)


class TwistedTransport(Transport):
    """Applies the history's events to the writes."""

    running: ClassVar[list[Try]] = []
    runs: ClassVar[int] = 0
    meanwhile: ClassVar[Any] = None

    def send(self, method: str, url: str, **rest: Any) -> Response:
        now = self.running[-1]
        twist = None
        if method != "GET" and "/oauth/" not in url and not now.is_dead:
            now.writes += 1
            twist = now.twists.get(now.writes)
        if twist is Twist.MEANWHILE and len(self.running) == 1:
            type(self).meanwhile(1 - now.session)
        now.is_dead = now.is_dead or twist is Twist.DIES_BEFORE
        if now.is_dead:
            raise StoppedError("the process is dead")
        response = super().send(method, url, **rest)
        now.is_dead = twist is Twist.DIES_AFTER
        if now.is_dead:
            raise StoppedError("the process is dead")
        if twist is Twist.LOST:
            raise NoResponseError(Failure.READ_TIMEOUT)
        return Response(status=200, headers={}, body=b"{}") if twist is Twist.NO_ID else response


_lags = st.sampled_from([0.0, 0.5, 2.0, 5.0])
_twists = st.dictionaries(st.integers(1, 6), st.sampled_from(Twist), min_size=1, max_size=3)
_tries = st.builds(
    Try, session=st.sampled_from([0, 0, 0, 1]), pause=st.sampled_from([0.0, 0.0, 1.0, 3.0]), twists=_twists
)
_histories = st.builds(
    History, tries=st.lists(_tries, min_size=1, max_size=4), listing_lag=_lags, reading_lag=_lags, move_lag=_lags
)


def run_try(stage: Stage, one: Try, wanted: Mapping[str, Any], job_id: str | None) -> ExportError | None:
    """Run a session; return the error that ended it, None after a success."""
    TwistedTransport.runs += 1
    TwistedTransport.running.append(one)
    try:
        stage.export(dict(wanted), job_id=job_id, session_time=SESSIONS[one.session])
    except UnexpectedError:
        raise
    except ExportError as error:
        return error
    finally:
        TwistedTransport.running.pop()
    return None


def replay(stage: Stage, history: History, wanted: Mapping[str, Any], job_id: str | None) -> list[ExportError | None]:
    """Replay a history, then run each session once without faults; return the errors of these runs."""
    switches = stage.pinterest.switches
    time = stage.services.time
    switches.listing_lag_seconds = history.listing_lag
    switches.reading_lag_seconds = history.reading_lag
    switches.move_lag_seconds = history.move_lag

    def run_session(session: int) -> ExportError | None:
        return run_try(stage, Try(session=session, pause=0, twists={}), wanted, job_id)

    TwistedTransport.runs = 0
    with use_transport(TwistedTransport, meanwhile=run_session):
        for one in history.tries:
            time.sleep(one.pause)
            run_try(stage, one, wanted, job_id)
        ends = [run_session(session) for session in history.sessions]
    time.sleep(LATER)
    stage.reset()
    return ends


def count_made_lists(stage: Stage) -> int:
    """Return how many of the account's lists the operator has made."""
    return sum("(td " in made.name for made in stage.lists())


many = settings(max_examples=examples(40), suppress_health_check=list(HealthCheck), deadline=None)


class FaultyTransport(Transport):
    """Applies the events of `fates` to the requests, in order."""

    fates: ClassVar[Iterator[Fate]] = iter(())

    def send(self, method: str, url: str, **rest: Any) -> Response:
        fate = Fate.ANSWERED if "/oauth/" in url else next(self.fates, Fate.ANSWERED)
        if fate is Fate.REFUSED:
            return Response(status=403, headers={}, body=b"{}")
        if fate is Fate.NEVER_ARRIVES:
            raise NoResponseError(Failure.BROKEN)
        response = super().send(method, url, **rest)
        if fate is Fate.LOST:
            raise NoResponseError(Failure.READ_TIMEOUT)
        return response


@many
@given(
    action=st.sampled_from([Add.action.name, Create.action.name, Replace.action.name]),
    fates=st.lists(st.sampled_from([Fate.ANSWERED] * 4 + list(Fate)), max_size=25),
    lag=_lags,
)
def test_message_of_a_failed_run_is_right_about_its_records(
    action: str, fates: list[Fate], lag: float, shared_services: Services, job_id: str
) -> None:
    stage = new_stage(shared_services)
    stage.pinterest.switches.listing_lag_seconds = lag
    audience_id = stage.audience([], name="Others")
    named = {"audience_name": NAME} if action == Create.action.name else {"audience_id": audience_id}
    with use_transport(FaultyTransport, fates=iter(fates)):
        try:
            stage.export({"action": action, "retry_count": 1, **SMALL, **named}, job_id=job_id)
        except ExportError as error:
            message = str(error)
        else:
            return
    truly_in = len(set().union(*(stage.pinterest.members(held.id) for held in stage.lists())))
    if said := PARTLY_SENT.search(message):
        check_partly_sent(said, records=RECORDS, truly_in=truly_in)
    else:
        assert truly_in in (0, RECORDS)


@many
@given(history=_histories, if_exists=st.sampled_from(["fail", "fail", "add", "replace"]))
def test_creation_after_any_history_leaves_one_audience_with_exactly_its_people(
    history: History, if_exists: str, shared_services: Services, job_id: str
) -> None:
    stage = new_stage(shared_services)
    wanted = {"action": Create.action.name, "audience_name": NAME, "if_exists": if_exists, **SMALL}
    ends = replay(stage, history, wanted, job_id)
    assert None in ends
    assert all(end is None or isinstance(end, AudienceError) for end in ends)
    (audience,) = stage.audiences()
    assert stage.members(audience) == digests(RECORDS)
    assert count_made_lists(stage) <= TwistedTransport.runs


@many
@given(history=_histories)
def test_creation_of_an_actalike_after_any_history_leaves_one_audience(
    history: History, shared_services: Services
) -> None:
    stage = new_stage(shared_services)
    seed = stage.audience(people(120), name="Seed")
    wanted = {
        "action": CreateActalike.action.name,
        "audience_name": NAME,
        "seed_audience_id": seed,
        "country": "US",
        "percentage": 3,
    }
    ends = replay(stage, history, wanted, None)
    assert None in ends
    assert all(end is None or isinstance(end, AudienceError) for end in ends)
    assert [audience.name for audience in stage.audiences() if audience.id != seed] == [NAME]


@many
@given(history=_histories, action=st.sampled_from([Replace.action.name, Clear.action.name]))
def test_switch_after_any_history_leaves_exactly_the_people_of_the_last_session(
    history: History, action: str, shared_services: Services, job_id: str
) -> None:
    stage = new_stage(shared_services)
    audience_id = stage.audience(people(3, first=500), name=NAME)
    clears = action == Clear.action.name
    ends = replay(stage, history, {"action": action, "audience_id": audience_id, **({} if clears else SMALL)}, job_id)
    assert set(ends) == {None}
    (audience,) = stage.audiences()
    if clears:  # but for the digest that belongs to nobody
        assert not stage.members(audience) & (digests(RECORDS) | digests(3, first=500))
    else:
        assert stage.members(audience) == digests(RECORDS)
    assert count_made_lists(stage) <= TwistedTransport.runs
