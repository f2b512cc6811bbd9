"""The queries of an export with lists: every fault at every step of each of them, and kills in between.

Whatever happens, nobody who is withheld is in any request, and after a rerun the people are those of a run without
faults.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from td_pinterest_op.errors import ExportError, JobError, TreasureDataError, WorkflowError
from td_pinterest_op.stats import WITHHELD_REASONS
from tests.emulators.td import Fault, JobFault
from tests.exporting import ATTEMPT, Services, digests, people
from tests.faults import child
from tests.faults.child import KILLED, Killer
from tests.faults.conftest import Stage

# In the order in which they are issued: the columns of the lists first, their rows once the people's job has ended.
QUERIES = ("columns of suppress", "columns of consent", "query", "suppress", "consent")
STEPS = ("issue", "status", "show", "result")
# People who opted out, who are sent, who have not consented, and others.
SENT = digests(12, first=4)
PEOPLE = people(20)
SUPPRESSED = people(4)
CONSENTING = people(16)
COUNTS = (4, 4, 0)
# A run makes at least this many requests to Treasure Data; the last is in the middle of the people's result.
REQUESTS = 12


@dataclass(frozen=True, kw_only=True)
class Row:
    """A fault, without its path, and how a run ends that meets it at one of these steps; None: well."""

    name: str
    fault: Fault | None
    end: type[ExportError] | None = None
    at: tuple[str, ...] = STEPS


ALWAYS = 1000
ROWS = (
    Row(name="503", fault=Fault(kind="status", times=2)),
    Row(name="503 always", fault=Fault(kind="status", times=ALWAYS), end=TreasureDataError),
    Row(name="429", fault=Fault(kind="status", status=429, times=2)),
    Row(name="reset", fault=Fault(kind="reset", times=2)),
    Row(name="answer lost", fault=Fault(kind="lost")),
    Row(name="answer cut off", fault=Fault(kind="cut")),
    Row(name="answer cut off always", fault=Fault(kind="cut", times=ALWAYS, after_bytes=0), end=TreasureDataError),
    # A key that worked before in the run is asked again twice, unless the request issues a job.
    Row(name="401 twice", fault=Fault(kind="status", status=401, times=2), at=STEPS[1:]),
    Row(name="401", fault=Fault(kind="status", status=401), end=WorkflowError, at=("issue",)),
    Row(name="401 always", fault=Fault(kind="status", status=401, times=ALWAYS), end=WorkflowError),
    Row(name="403 twice", fault=Fault(kind="status", status=403, times=2), at=STEPS[1:]),
    Row(name="403 always", fault=Fault(kind="status", status=403, times=ALWAYS), end=WorkflowError),
    Row(name="404", fault=Fault(kind="status", status=404), end=JobError),
    Row(name="the job fails", fault=None, end=JobError, at=("issue",)),
)


# Every fault at each of its steps; the queries take turns, as they are run by the same code.
CELLS = [
    pytest.param(row, query, step, id=f"{row.name}-{query}-{step}")
    for number, row in enumerate(ROWS)
    for place, step in enumerate(row.at)
    for query in list(QUERIES[1:])[(number + place) % 2 :: 2]
    if step != "result" or not query.startswith("columns")  # nobody reads the result
]


def inject_fault(services: Services, row: Row, query: str, step: str) -> None:
    """Inject the fault at a step of a query."""
    number = QUERIES.index(query)
    if row.fault is None:
        name = query.removeprefix("columns of ")
        follows = "(?!.*LIMIT 0)" if name == query else ".*LIMIT 0"
        services.td.job_faults.add(JobFault(query=f"(?s)AS of_{name}{follows}"))
    elif step == "issue":
        services.td.faults.add(dataclasses.replace(row.fault, path="/v3/job/issue/", after=number))
    else:
        job_id = 1_000_001 + len(services.td.jobs.all()) + number
        services.td.faults.add(dataclasses.replace(row.fault, path=f"/v3/job/{step}/{job_id}$"))


def create_queries(services: Services) -> dict[str, Any]:
    """Return the parameters of a task with its queries."""
    services.td.create("crm", "seeds", "SELECT 1 AS one")
    given = {"query": PEOPLE, "suppress": [person.upper() for person in SUPPRESSED], "consent": CONSENTING}
    rows = {name: ", ".join(f"('{person}')" for person in of_query) for name, of_query in given.items()}
    queries = {name: f"SELECT * FROM (VALUES {of_query}) AS of_{name}(email)" for name, of_query in rows.items()}
    return {"database": "crm", **ATTEMPT, **queries}


@pytest.mark.parametrize(("row", "query", "step"), CELLS)
def test_fault_of_a_list_query_sends_no_withheld_person_and_a_rerun_recovers(
    stage: Stage, row: Row, query: str, step: str
) -> None:
    audience_id = stage.audience([], name="Shoppers")
    settings = {"action": "add_people_to_current_audience", "audience_id": audience_id}
    # A task of its own for each cell, as it would adopt the job of another.
    task = create_queries(stage.services) | {"task_name": f"{row.name}-{query}-{step}"}
    inject_fault(stage.services, row, query, step)
    if row.end is None:
        stage.export(settings, **task)
        assert stage.pinterest.members_of_audience(audience_id) == SENT
    else:
        with pytest.raises(row.end) as raised:
            stage.export(settings, **task)
        assert (f"[the query of `{query.split()[-1]}`]" in str(raised.value)) == (query != "query")
        assert stage.pinterest.calls.writes() == []
    stage.reset()
    stats = stage.export(settings, **task)
    assert stage.pinterest.members_of_audience(audience_id) == SENT
    assert tuple(stats["records"]["withheld"][why] for why in WITHHELD_REASONS) == COUNTS


@pytest.mark.parametrize("number", range(1, REQUESTS + 1))
def test_kill_while_lists_are_read_sends_no_withheld_person(services: Services, number: int, tmp_path: Path) -> None:
    settings = {"action": "create_new_audience", "audience_name": "Shoppers"}
    task = create_queries(services)
    services.td.requests = killer = Killer(number)
    code, said = killer.wait(child.start_run(services, settings, job_id=None, folder=tmp_path / "run", **task))
    assert code == KILLED, said
    assert [call for call in services.pinterest.calls.writes() if call.records] == []
    services.export(settings, **task)
    (audience,) = services.pinterest.audiences_named("Shoppers", removed=None)
    assert services.pinterest.members_of_audience(audience.id) == SENT
    # Another try of the attempt adopts the people's job alone.
    issued = [call.form["query"] for call in services.td.calls("POST", "/v3/job/issue")]
    assert len({*issued[-len(QUERIES) :]}) == len(QUERIES)
    assert [job.query.endswith(f"\n{task['query']}") for job in services.td.jobs.all()].count(True) == 1
