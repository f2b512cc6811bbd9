"""Six audiences share one refresh token of which Pinterest ends the old one as it issues the next."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests import dig, guard
from tests.campaigns import campaign
from tests.dig.__main__ import LocalSecrets
from tests.e2e.project import ENGINES, SESSION, Engine, Ran, change, copy_of
from tests.emulators.digdag_secrets import DigdagSecrets, serve_secrets
from tests.emulators.environment import SECRETS, digdag_home
from tests.exporting import Services, digests, people

KEY = "pinterest.refresh_token"
SERVER_KEY = "workflow-s3cr3t-key"


class OnServer(Mapping[str, str]):
    """The secrets that a workflow server gives to a task when it begins."""

    def __init__(self, kept: DigdagSecrets) -> None:
        self._kept = kept

    def __getitem__(self, name: str) -> str:
        return self._kept.secrets()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept.secrets())

    def __len__(self) -> int:
        return len(self._kept.secrets())


@pytest.fixture
def project(services: Services, bundle: Path, tmp_path: Path) -> Path:
    """Six audiences in config/audiences.yml, each with two people of its own."""
    services.pinterest.switches.rotate_refresh_tokens = True
    rows = [{"email": person, "number": number} for number, person in enumerate(people(12))]
    services.td.create("sandbox", "people", rows)
    entries = [
        {
            "name": f"entry {number}",
            "ad_account_id": "549755885175",
            "audience_id": services.audience(name=f"audience {number}"),
            "action": "add_people_to_current_audience",
            "query": f"SELECT email FROM people WHERE number IN ({2 * number}, {2 * number + 1})",
        }
        for number in range(6)
    ]
    folder = copy_of(bundle, tmp_path)
    (folder / "config" / "audiences.yml").write_text(json.dumps({"audiences": entries}))
    change(folder / "config" / "workflow.yml", ("^history: .*$", "history: ''"))
    return folder


def all_are_in(services: Services) -> bool:
    audiences = services.pinterest.audiences.values()
    members = {audience.name: services.pinterest.members_of_audience(audience.id) for audience in audiences}
    return members == {f"audience {number}": digests(2, first=2 * number) for number in range(6)}


def run(project: Path, services: Services, secrets: Mapping[str, str], environ: Mapping[str, str]) -> Ran:
    result = dig.run(
        project / "pinterest_many.dig",
        secrets=secrets,
        environ={**os.environ, **services.environ, **environ},
        session_time=SESSION,
        sleep=lambda _: None,
    )
    guard.check(result.log, "the log")
    return Ran(succeeded=result.error is None, log=result.log + (result.error or ""))


def test_on_a_workflow_server_each_task_that_is_refused_begins_anew_with_the_token_of_then(
    services: Services, project: Path, tmp_path: Path
) -> None:
    # A server's name for the folder of a task of its project 1.
    (tmp_path / "workspace").mkdir()
    project = project.rename(tmp_path / "workspace" / "1_pinterest_many_2_34_5678")
    with serve_secrets(DigdagSecrets(api_key=SERVER_KEY, project_id="1")) as (kept, url):
        for name, variable in SECRETS.items():
            kept.set_secret(name, services.environ[variable])
        environ = {"DIGDAG_ENDPOINT": url, "DIGDAG_AUTHORIZATION": f"TD1 {SERVER_KEY}"}
        ran = run(project, services, OnServer(kept), environ)
        assert ran.succeeded, ran.log
        assert kept.secrets()[KEY] in services.pinterest.tokens.refresh_tokens()
        # The six entries and the task before them.
        assert 7 == services.pinterest.tokens.refreshes == kept.requests
    assert all_are_in(services)


@campaign
def test_in_a_local_run_as_well(services: Services, project: Path, tmp_path: Path) -> None:
    home = Path(digdag_home(tmp_path, services.environ)["DIGDAG_CONFIG_HOME"])
    ran = run(project, services, LocalSecrets(home, {}), {"DIGDAG_CONFIG_HOME": str(home)})
    assert ran.succeeded, ran.log
    kept = home / "secrets" / KEY
    assert kept.read_text() in services.pinterest.tokens.refresh_tokens()
    assert 0o600 == kept.stat().st_mode & 0o777
    assert all_are_in(services)


@pytest.mark.parametrize("engine", ENGINES[1:])
@pytest.mark.parametrize("limit", [1, 4])
def test_three_runs_of_digdag_in_a_row_succeed(
    engine: Engine, services: Services, project: Path, tmp_path: Path, limit: int
) -> None:
    change(project / "pinterest_many.dig", (r"_parallel: {limit: 4}", f"_parallel: {{limit: {limit}}}"))
    home = Path(digdag_home(tmp_path, services.environ)["DIGDAG_CONFIG_HOME"])
    for _ in range(3):
        kept = {KEY: (home / "secrets" / KEY).read_text()}
        ran = engine(project / "pinterest_many.dig", services, tmp_path, kept)
        assert ran.succeeded, ran.log
    assert (home / "secrets" / KEY).read_text() in services.pinterest.tokens.refresh_tokens()
    assert all_are_in(services)


def test_a_token_that_nobody_has_renewed_ends_the_workflow_after_three_refusals(
    services: Services, project: Path
) -> None:
    services.pinterest.tokens.set_refresh_token(services.environ["PINTEREST_REFRESH_TOKEN"], days=0)
    secrets = {name: services.environ[variable] for name, variable in SECRETS.items()}
    ran = run(project, services, secrets, {})
    assert not ran.succeeded
    assert 3 == len(services.pinterest.calls.of("oauth/token"))
    assert 2 == ran.log.count("this task begins anew")
    assert "authorise the app again" in ran.log
