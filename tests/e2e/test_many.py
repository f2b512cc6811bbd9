"""Several audiences in one workflow: outcomes after a killed task, and the number of tasks of an attempt."""

import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests import children, dig
from tests.campaigns import campaign
from tests.e2e.project import ENGINES, SESSION, Run, edit_file, read_history, secrets_for
from tests.emulators.environment import HURRY, digdag_home
from tests.emulators.pinterest import AD_ACCOUNT_ID
from tests.exporting import Services, digests, people

_KILLED = """
import os, signal
from td_pinterest_op import many

class Many(many.Many):
    def export(self, audience):
        if audience["name"] == "entry 1":
            os.kill(os.getpid(), signal.SIGKILL)
        super().export()
"""


def write_entries(services: Services, project: Path, audiences: Sequence[str]) -> None:
    """Write entries that add one person to each of the audiences."""
    rows = [{"email": person, "number": number} for number, person in enumerate(people(len(audiences)))]
    services.td.create("sandbox", "people", rows)
    entries = [
        {
            "name": f"entry {number}",
            "ad_account_id": AD_ACCOUNT_ID,
            "audience_id": audience_id,
            "action": "add_people_to_current_audience",
            "query": f"SELECT email FROM people WHERE number = {number}",
        }
        for number, audience_id in enumerate(audiences)
    ]
    (project / "config" / "audiences.yml").write_text(json.dumps({"audiences": entries}))


@pytest.mark.parametrize("first_fails", [False, True])
@pytest.mark.parametrize("engine", ENGINES)
def test_killed_task_and_those_that_did_not_start_are_named(
    run: Run, services: Services, project: Path, first_fails: bool
) -> None:
    audiences = [services.audience(name=f"audience {number}") for number in range(4)]
    if first_fails:
        audiences[0] = "77"
    write_entries(services, project, audiences)
    (project / "killed.py").write_text(_KILLED)
    edit_file(
        project / "pinterest_many.dig",
        (r"py>: td_pinterest_op.many.Many.export", "py>: killed.Many.export"),
        (r"_parallel: {limit: 4}", "_parallel: {limit: 2}"),
    )
    ran = run("pinterest_many")
    assert not ran.succeeded
    place = f"audience {audiences[1]} in ad account {AD_ACCOUNT_ID}"
    lost = "no result was stored: its process was killed"
    assert f"pinterest_many of 2026-11-25T00:00:00+00:00 failed: {3 + first_fails} of 4 audiences failed: " in ran.log
    assert f"entry 1 ({place}): {lost}" in ran.log, ran.log
    rows = {row["audience_id"]: row for row in read_history(services)}
    assert dict.fromkeys(audiences, "failed") | ({} if first_fails else {audiences[0]: "success"}) == {
        name: row["outcome"] for name, row in rows.items()
    }
    assert all(rows[name]["error"].startswith(lost) for name in audiences[1:]), rows
    assert len(audiences) == len(read_history(services))
    if not first_fails:
        assert digests(1) == services.pinterest.members_of_audience(audiences[0])


class Finished:
    """A `py>` child that has stored an outcome of its entry, if it has one, and ended."""

    pid, returncode = 0, 0

    def __init__(self, command: list[str], *, cwd: Path, env: Mapping[str, str]) -> None:
        *_, given, left = command
        params: dict[str, Any] = json.loads((cwd / given).read_text())["params"]
        outcomes = {entry["name"]: {"ok": True} for entry in [params.get("audience")] if entry}
        (cwd / left).write_text(json.dumps({"store_params": {"pinterest_many": outcomes}}))
        self.stdout = io.StringIO()
        self.outcomes = params.get("pinterest_many", {})

    def __enter__(self) -> "Finished":
        return self

    def __exit__(self, *_: object) -> None: ...

    def kill(self) -> None: ...


@campaign
def test_three_hundred_audiences_fit_into_one_attempt(services: Services, project: Path) -> None:
    """The stand-in ends an attempt of more than 1,000 tasks, groups included, as digdag does."""
    write_entries(services, project, [str(number) for number in range(300)])
    started = []

    def start(command: list[str], *, cwd: Path, env: Mapping[str, str]) -> Finished:
        started.append(Finished(command, cwd=cwd, env=env))
        return started[-1]

    result = dig.run(project / "pinterest_many.dig", secrets=secrets_for(services), start=start)
    assert "success" == result.status, result.error
    assert 300 == len(started[-1].outcomes)


@pytest.mark.digdag
def test_digdag_runs_one_task_more_for_each_additional_audience(
    services: Services, project: Path, tmp_path: Path
) -> None:
    environ = os.environ | services.environ | digdag_home(tmp_path, services.environ) | {"PYTHONPATH": HURRY}
    tasks = []
    for count in (2, 4):
        write_entries(services, project, [services.audience(name=f"{count} {number}") for number in range(count)])
        folder = tmp_path / f"tasks {count}"
        command = ["digdag", "run", "pinterest_many.dig", "--rerun", "--session", SESSION, "-o", str(folder)]
        children.run(command, cwd=project, env=environ).check_returncode()
        tasks.append(sorted(file.name for file in folder.rglob("+*.yml")))
    assert 2 == len(tasks[1]) - len(tasks[0]), tasks
    assert len(tasks[0]) <= 7, tasks
