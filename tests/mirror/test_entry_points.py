"""The mirror's other entry points: an entry of several audiences and an activation."""

import json
from dataclasses import replace
from typing import Any

import pytest

from td_pinterest_op.activation import add_activation_settings
from td_pinterest_op.errors import EntriesError
from td_pinterest_op.export import export_task
from td_pinterest_op.many import export_all
from td_pinterest_op.task_runtime.task import Task
from tests.exporting import digests, people
from tests.mirror.days import DATABASE, World


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
    stored = export_task(add_activation_settings(task), mirror_world.time.timing)
    assert stored["summary"] == 'Mirrored audience "VIP": 200 joiners, 0 leavers.'
    (audience,) = mirror_world.pinterest.audiences_named("VIP")
    assert mirror_world.members(audience.id) == digests(200)
    mirror_world.set_people(people(190))
    stored = export_task(add_activation_settings(task), mirror_world.time.timing)
    assert (stored["mirror"]["left"], mirror_world.members(audience.id)) == (10, digests(190))


def test_mirror_without_a_presto_or_trino_query_is_an_error(mirror_world: World, audience_id: str) -> None:
    del mirror_world.task["query"]
    mirror_world.task["job_id"] = "12"
    assert "mirror_current_audience needs `query`, but the rows come from a job (`job_id`" in mirror_world.run(1).output
    mirror_world.task |= {"job_id": None, "query": "SELECT 1", "engine": "hive"}
    del mirror_world.task["job_id"]
    assert "mirror_current_audience needs the engine presto or trino" in mirror_world.run(1).output
