"""The mirror's steps beside SQL: what they find out, and why they send nothing."""

from __future__ import annotations

from typing import Any

import pytest

from td_pinterest_op.errors import AccountError, AudienceError, ExportError, LimitError, SettingsError
from td_pinterest_op.identifiers.types import LISTED
from td_pinterest_op.mirror import look_at, send
from td_pinterest_op.workflow.task import Task
from tests.emulators.pinterest import AD_ACCOUNT_ID, Call
from tests.emulators.pinterest.faults import Answer, Fault
from tests.emulators.td import JobFault
from tests.exporting import SESSION, TASK_NAME, Services, digests, people

LEDGER = "pinterest_ledger"
# Each plan takes the one before it into account.
NO_COLUMNS = dict.fromkeys(LISTED, "CAST(NULL AS varchar)")
_PLANS = """SELECT '{audience_id}' AS audience_id, plan, 'planned' AS op, NULL::VARCHAR AS digest, plan - 1 AS joined,
NULL::BIGINT AS figure, NULL::BIGINT AS resent, NULL::VARCHAR AS ad_account_id, NULL::VARCHAR AS customer_list_id,
NULL::VARCHAR AS session, 0::BIGINT AS time FROM range(1, {last} + 1) plans(plan)"""


def look(services: Services, audience_id: str, **given: Any) -> dict[str, Any]:
    settings = {"ad_account_id": AD_ACCOUNT_ID, "audience_id": audience_id}
    params = {"database": "sandbox", "stage": "12_5e55", "result_settings": settings}
    return look_at(Task(params=params | given, environ=services.environ), services.time.timing)


def send_plan(services: Services, audience_id: str, **given: Any) -> dict[str, Any]:
    settings = {
        "type": "pinterest",
        "ad_account_id": AD_ACCOUNT_ID,
        "audience_type": "customer_list",
        "action": "add_people_to_current_audience",
        "audience_id": audience_id,
    }
    params = {
        "database": "sandbox",
        "session_time": SESSION,
        "task_name": TASK_NAME,
        "query": "SELECT email FROM people",
        "plan": 7,
        "ledger": LEDGER,
        "result_settings": settings,
    }
    return send(Task(params=params | given, environ=services.environ), services.time.timing)


def writes(services: Services) -> list[str]:
    return [call.operation for call in services.pinterest.calls.writes()]


def list_behind(services: Services, audience_id: str) -> str:
    return str(services.pinterest.audiences[audience_id].rule["customer_list_id"])


@pytest.fixture
def audience_id(services: Services) -> str:
    """An audience whose people are staged, with seven plans in the ledger and three people to send."""
    made = services.audience()
    services.td.create("sandbox", "pinterest_people_12_5e55", [{"email": people(1)[0]}])
    services.td.create("sandbox", LEDGER, _PLANS.format(audience_id=made, last=7))
    services.td.create("sandbox", "people", [{"email": person} for person in people(3)])
    return made


def test_a_look_finds_the_audience_its_list_and_the_columns_of_the_people(services: Services, audience_id: str) -> None:
    assert {
        "audience_id": audience_id,
        "audience_name": "Shoppers",
        "customer_list_id": list_behind(services, audience_id),
        "people": 0,
        "column": "email",
        "columns": NO_COLUMNS | {"email": '"email"'},
        "suppress_job": "",
        "consent_job": "77",
    } == look(services, audience_id, suppress_job="", consent_job="77")


def stage(services: Services, **columns: str) -> None:
    """The day's people and both lists, each with columns of these values."""
    for table in ("people", "suppressed", "consented"):
        row = columns if table == "people" else {"email": people(1)[0]}
        services.td.create("sandbox", f"pinterest_{table}_12_5e55", [row])


def test_a_look_finds_the_columns_of_the_lists_and_the_control_group(services: Services, audience_id: str) -> None:
    stage(services, email=people(1)[0], customer_id="5")
    found = look(services, audience_id, withholds="true", control='{"percent": 10, "salt": "s", "by": "Customer_ID"}')
    email = 'CASE WHEN "customer_id" IS NOT NULL THEN "email" END'
    assert NO_COLUMNS | {"email": email} == found["columns"]
    assert {"share": 1000, "salt": "730a", "key": 'CAST("customer_id" AS varchar)'} == found["control"]
    of_list = NO_COLUMNS | {"email": '"email"'}
    assert (of_list, of_list) == (found["suppressed"], found["consented"])


@pytest.mark.parametrize(
    ("control", "message"),
    [
        ("null", "control in config/mirror.yml: .* is not a mapping"),
        ({"percent": 60, "salt": "s"}, "control in config/mirror.yml: percent: 60 is not a number from 0.01 to 50"),
        ({"percent": 10, "salt": "s"}, "the control group needs one for its key"),
        ({"percent": 10, "salt": "s", "by": "id"}, 'there is no column "id"'),
    ],
)
def test_a_control_group_that_cannot_be_chosen_is_refused(
    services: Services, audience_id: str, control: object, message: str
) -> None:
    stage(services, email=people(1)[0], maid="m")
    with pytest.raises(ExportError, match=message):
        look(services, audience_id, withholds="true", control=control)


def test_a_list_without_identifiers_is_named(services: Services, audience_id: str) -> None:
    stage(services, email=people(1)[0])
    services.td.create("sandbox", "pinterest_consented_12_5e55", [{"city": "Oslo"}])
    with pytest.raises(ExportError, match=r'"city" is no identifier.*\[queries/consented.sql\]'):
        look(services, audience_id, withholds="true")


def test_a_removed_audience_is_not_mirrored(services: Services, audience_id: str) -> None:
    services.pinterest.audiences[audience_id].removed = True
    for step in (look, send_plan):
        with pytest.raises(AudienceError, match=f'audience {audience_id} "Shoppers" was removed. Nothing was sent'):
            step(services, audience_id)
    assert [] == writes(services)


def test_an_audience_without_a_customer_list_is_not_mirrored(services: Services) -> None:
    audience_id = services.pinterest.add_audience("Visitors", audience_type="VISITOR").id
    with pytest.raises(AudienceError, match=f'audience {audience_id} "Visitors" has no customer list behind it'):
        look(services, audience_id)


def test_the_newest_plan_is_sent_to_the_list_that_it_was_made_for(services: Services, audience_id: str) -> None:
    behind = list_behind(services, audience_id)
    stored = send_plan(services, audience_id, customer_list_id=behind)
    assert (3, behind) == (stored["records"]["sent"], stored["customer_list_id"])
    assert digests(3) == services.pinterest.members(behind)


def test_an_audience_that_was_moved_before_the_send_gets_nothing(services: Services, audience_id: str) -> None:
    with pytest.raises(AudienceError, match="does not stand on customer list 4711 any more"):
        send_plan(services, audience_id, customer_list_id="4711")
    assert [] == writes(services)


def test_an_audience_that_is_moved_while_its_plan_is_sent_is_an_error(services: Services, audience_id: str) -> None:
    behind, other = list_behind(services, audience_id), services.pinterest.add_list("Somebody else's").id
    looks: list[str] = []

    def move(call: Call) -> None:
        if call.operation == "audiences/get":
            looks.append(call.operation)
            if len(looks) == 2:
                services.pinterest.move_audience(audience_id, other)

    services.pinterest.on_request(move)
    with pytest.raises(AudienceError, match=f"does not stand on customer list {behind} any more, which the mirror"):
        send_plan(services, audience_id, customer_list_id=behind)
    assert set() == services.pinterest.members(behind)


@pytest.mark.parametrize(
    "wrong", [{"plan": "x"}, {"plan": None}, {"plan": -1}, {"ledger": "a; DROP TABLE b"}, {"ledger": None}]
)
def test_a_send_without_its_plan_or_its_ledger_is_refused_before_anything_is_contacted(
    services: Services, wrong: dict[str, Any]
) -> None:
    with pytest.raises(SettingsError, match="its number as `plan` and the name of the ledger's table as `ledger`"):
        send_plan(services, "7", **wrong)
    assert [] == services.td.requests
    assert [] == services.pinterest.calls.all()


def overtaken_at_write(services: Services, audience_id: str) -> None:
    """A plan that takes plan 7 into account comes into the ledger with the first write."""

    def plan(call: Call) -> None:
        if call.operation_type:
            warehouse = services.td.warehouse.session("sandbox", scheduled_time=0)
            newer = _PLANS.format(audience_id=audience_id, last=8)
            warehouse.execute(f"INSERT INTO {LEDGER} SELECT * FROM ({newer}) WHERE plan = 8")
            warehouse.execute(
                f"INSERT INTO {LEDGER} (audience_id, plan, op, digest) VALUES ('{audience_id}', 7, 'join', 'd')"
            )

    services.pinterest.on_request(plan)


def ledger(services: Services) -> list[tuple[Any, ...]]:
    warehouse = services.td.warehouse.session("sandbox", scheduled_time=0)
    return warehouse.execute(f"SELECT op, digest FROM {LEDGER} WHERE plan > 8 ORDER BY op").fetchall()


def test_what_was_sent_beside_a_later_plan_is_written_to_the_ledger(services: Services, audience_id: str) -> None:
    overtaken_at_write(services, audience_id)
    with pytest.raises(LimitError, match=r"is out of date: 8 is the newest .*the next run corrects it"):
        send_plan(services, audience_id, customer_list_id=list_behind(services, audience_id))
    assert [("join", "d"), ("overtaken", None)] == ledger(services)


def test_a_ledger_that_cannot_be_written_is_said_with_what_to_do(services: Services, audience_id: str) -> None:
    overtaken_at_write(services, audience_id)
    services.td.job_faults.add(JobFault(query="INSERT INTO"))
    with pytest.raises(
        LimitError, match=r"could not be written to the ledger .*set rebuild: true in config/mirror.yml"
    ):
        send_plan(services, audience_id, customer_list_id=list_behind(services, audience_id))
    assert [] == ledger(services)


def test_a_failure_without_a_later_plan_writes_nothing_to_the_ledger(services: Services, audience_id: str) -> None:
    services.pinterest.faults.add(Fault(effect=Answer(status=403), method="PATCH", path="/ad_accounts", times=None))
    with pytest.raises(AccountError):
        send_plan(services, audience_id, customer_list_id=list_behind(services, audience_id))
    assert [] == ledger(services)


@pytest.mark.parametrize(
    ("table", "stays"),
    [
        ("pinterest_people_{id}_0ld", False),
        ("pinterest_digests_{id}", False),
        ("pinterest_changes_{id}_0ld", False),
        ("pinterest_people_{id}1_0ld", True),
        ("pinterest_ledger", True),
    ],
)
def test_tables_that_earlier_sessions_of_the_mirror_left_are_dropped(
    services: Services, audience_id: str, table: str, stays: bool
) -> None:
    name = table.format(id=audience_id)
    services.td.create("sandbox", name, [{"email": people(1)[0]}])
    look(services, audience_id)
    assert stays == (name in {table.name for table in services.td.warehouse.tables("sandbox")})


def test_an_audience_of_another_name_is_not_mirrored(services: Services, audience_id: str) -> None:
    with pytest.raises(AudienceError, match=f'audience {audience_id} "Shoppers" is not "Readers". Nothing was sent'):
        look(services, audience_id, audience_name="Readers")


def test_a_look_without_the_names_of_the_sessions_tables_is_refused(services: Services) -> None:
    with pytest.raises(SettingsError, match="a look needs `stage`"):
        look(services, "7", stage=None)
