"""The mirror's other entry points: an entry of several audiences and an activation. And a ledger of version 0.3."""

import json
from dataclasses import replace
from typing import Any

import pytest

from td_pinterest_op.activation import add_activation_settings
from td_pinterest_op.errors import EntriesError
from td_pinterest_op.export import export
from td_pinterest_op.many import export_all
from td_pinterest_op.task_runtime.task import Task
from tests.exporting import digests, people
from tests.mirror.days import DATABASE, LEDGER, World

DAY = 86_400_000
# Of the ledger, since version 0.3.
COLUMNS = """audience_id varchar, plan bigint, op varchar, digest varchar, joined bigint, figure bigint, resent bigint,
ad_account_id varchar, customer_list_id varchar, session varchar, time bigint"""


def test_entry_of_several_audiences_can_be_a_mirror(mirror_world: World, audience_id: str) -> None:
    mirror_world.set_people(people(195))
    shared = json.dumps({name: mirror_world.settings[name] for name in ("ad_account_id", "type", "audience_type")})
    entry = {**mirror_world.settings, "query": mirror_world.task["query"], "name": "newsletter", "min_records": 196}
    params: dict[str, Any] = {"database": DATABASE, "result_settings": shared, "audiences": [entry]}
    task = Task(params=params, environ=mirror_world.environ)
    with pytest.raises(EntriesError, match=r"newsletter: .*fewer than min_records \(196\)"):
        export_all(task, mirror_world.time.timing)
    given = {**params, "audiences": [{**entry, "min_records": 1}]}
    stored = export_all(replace(task, params=given), mirror_world.time.timing)
    assert stored["newsletter"]["statistics"]["mirror"]["left"] == 5
    assert mirror_world.members() == digests(195)


def test_activation_mirrors_from_its_first_run(mirror_world: World) -> None:
    kept = {name: value for name, value in mirror_world.settings.items() if name != "action"}
    mirror_world.set_people(people(200))
    params: dict[str, Any] = {**mirror_world.task, "later_runs": "Mirror", "segment_name": "VIP", "activation_id": "7"}
    task = Task(params={**params, "result_settings": kept}, environ=mirror_world.environ)
    stored = export(add_activation_settings(task), mirror_world.time.timing)
    assert stored["summary"] == 'Mirrored audience "VIP": 200 joiners, 0 leavers.'
    (audience,) = mirror_world.pinterest.audiences_named("VIP")
    assert mirror_world.members(audience.id) == digests(200)
    mirror_world.set_people(people(190))
    stored = export(add_activation_settings(task), mirror_world.time.timing)
    assert (stored["mirror"]["left"], mirror_world.members(audience.id)) == (10, digests(190))


def test_mirror_without_a_presto_or_trino_query_is_an_error(mirror_world: World, audience_id: str) -> None:
    del mirror_world.task["query"]
    mirror_world.task["job_id"] = "12"
    assert "mirror_current_audience needs `query`, but the rows come from a job (`job_id`" in mirror_world.run(1).output
    mirror_world.task |= {"job_id": None, "query": "SELECT 1", "engine": "hive"}
    del mirror_world.task["job_id"]
    assert "mirror_current_audience needs the engine presto or trino" in mirror_world.run(1).output


def test_ledger_of_version_0_3_is_continued(mirror_world: World) -> None:
    """A first replace, a compaction, a settled day, a day that was given up, and one that was overtaken."""
    audience_id = mirror_world.audience(people(200, first=5))
    behind = mirror_world.pinterest.audiences[audience_id].rule["customer_list_id"]
    now = int(mirror_world.time.now() * 1000)
    plans = {
        name: now - (9 - n) * DAY for n, name in enumerate(["first", "compaction", "settled", "given up", "next to"])
    }
    account = mirror_world.settings["ad_account_id"]
    rows: list[tuple[Any, ...]] = []

    def add(plan: str, op: str, digest: str | None = None, joined: int | None = None, **more: Any) -> None:
        ids = (account, behind) if op in ("replacing", "replaced", "planned", "settled", "compacted") else (None, None)
        number = plans[plan]
        rows.append(
            (audience_id, number, op, digest, joined, more.get("figure"), None, *ids, f"uuid of {plan}", number // 1000)
        )

    for digest in digests(200):
        add("compaction", "member", digest, plans["first"])
    add("compaction", "compacting", joined=plans["first"])
    add("compaction", "compacted", figure=200)
    for op, changed in (("join", digests(5, first=200)), ("leave", digests(5))):
        for digest in changed:
            add("settled", op, digest, plans["settled"] if op == "join" else None)
    add("settled", "planned", joined=plans["compaction"], figure=10)
    add("settled", "settled")
    for digest in digests(2, first=205):
        add("given up", "join", digest, plans["given up"])
    add("given up", "planned", joined=plans["settled"], figure=2)
    for digest in digests(1, first=205):
        add("next to", "join", digest)
    add("next to", "overtaken", joined=plans["given up"])
    columns = ", ".join(f"cast(NULL AS {type_}) AS {name}" for name, type_ in map(str.split, COLUMNS.split(",")))
    mirror_world.td.create(DATABASE, LEDGER, f"SELECT {columns} WHERE false")
    values = ", ".join(f"({', '.join('NULL' if value is None else repr(value) for value in row)})" for row in rows)
    mirror_world.sql(f"INSERT INTO {LEDGER} VALUES {values}")
    ran = mirror_world.follow(0, people(200, first=6))
    # One of the two who are unsure joins, the other leaves, and so does the person who left the query.
    assert ran.sent == {"ADD": 1, "REMOVE": 2}
    assert ran.stored["members"] == 200
