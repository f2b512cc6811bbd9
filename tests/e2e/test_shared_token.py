"""Tasks share one refresh token, which Pinterest revokes as it issues the next."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests import guard
from tests.campaigns import amount
from tests.e2e.project import ENGINES, Engine, Ran, copy_workflows, edit_file, run_with_tests_dig
from tests.emulators.digdag_secrets import DigdagSecrets, serve_secrets
from tests.emulators.environment import SECRETS, digdag_home
from tests.emulators.pinterest import AD_ACCOUNT_ID
from tests.exporting import Services, digests, people

KEY = "pinterest.refresh_token"
SERVER_KEY = "workflow-s3cr3t-key"


class ServerSecrets(Mapping[str, str]):
    """The secrets that a workflow server gives to a task when it begins."""

    def __init__(self, kept: DigdagSecrets) -> None:
        self._kept = kept

    def __getitem__(self, name: str) -> str:
        return self._kept.secrets()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept.secrets())

    def __len__(self) -> int:
        return len(self._kept.secrets())


SHARED = {"at_once": 4, "result_settings": {"type": "pinterest", "audience_type": "customer_list"}}


@pytest.fixture
def project(services: Services, tmp_path: Path) -> Path:
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
    folder = copy_workflows(tmp_path)
    (folder / "config" / "audiences.yml").write_text(json.dumps({"audiences": entries, **SHARED}))
    return folder


def has_all_members(services: Services) -> bool:
    audiences = services.pinterest.audiences.values()
    members = {audience.name: services.pinterest.members_of_audience(audience.id) for audience in audiences}
    return members == {f"audience {number}": digests(2, first=2 * number) for number in range(6)}


def run_entries(project: Path, services: Services, **options: Any) -> Ran:
    """Run the workflow of several audiences; options as for `run_with_tests_dig`."""
    ran = run_with_tests_dig(project / "pinterest_audiences.dig", services, project, **options)
    guard.check(ran.log, "the log")
    return ran


@contextlib.contextmanager
def workflow_server(services: Services) -> Iterator[tuple[DigdagSecrets, Mapping[str, str]]]:
    """Serve the secrets as a workflow server; yield them and the environment that names the server."""
    with serve_secrets(DigdagSecrets(api_key=SERVER_KEY, project_id="1")) as (kept, url):
        for name, variable in SECRETS.items():
            kept.set_secret(name, services.environ[variable])
        yield kept, {"DIGDAG_ENDPOINT": url, "DIGDAG_AUTHORIZATION": f"TD1 {SERVER_KEY}"}


@pytest.fixture
def server_project(project: Path, tmp_path: Path) -> Path:
    """The project in a folder with a server's name for that of a task of its project 1."""
    (tmp_path / "workspace").mkdir()
    return project.rename(tmp_path / "workspace" / "1_pinterest_audiences_2_34_5678")


def test_entries_on_a_server_share_one_exchange_of_tokens(services: Services, server_project: Path) -> None:
    with workflow_server(services) as (kept, environ):
        ran = run_entries(server_project, services, secrets=ServerSecrets(kept), environ=environ)
        assert ran.succeeded, ran.log
        assert kept.secrets()[KEY] in services.pinterest.tokens.refresh_tokens()
        assert 1 == services.pinterest.tokens.refreshes == kept.requests
    assert has_all_members(services)


@pytest.mark.parametrize("engine", ENGINES[1:])
@pytest.mark.parametrize("at_once", [1, 4])
def test_three_successive_runs_of_digdag_succeed(
    engine: Engine, services: Services, project: Path, tmp_path: Path, at_once: int
) -> None:
    edit_file(project / "config" / "audiences.yml", ('"at_once": 4', f'"at_once": {at_once}'))
    home = Path(digdag_home(tmp_path, services.environ)["DIGDAG_CONFIG_HOME"])
    for _ in range(3):
        kept = {KEY: (home / "secrets" / KEY).read_text()}
        ran = engine(project / "pinterest_audiences.dig", services, tmp_path, kept)
        assert ran.succeeded, ran.log
    assert (home / "secrets" / KEY).read_text() in services.pinterest.tokens.refresh_tokens()
    assert has_all_members(services)


def test_expired_token_ends_the_workflow_after_three_rejections(services: Services, project: Path) -> None:
    services.pinterest.tokens.set_refresh_token(services.environ["PINTEREST_REFRESH_TOKEN"], days=0)
    ran = run_entries(project, services)
    assert not ran.succeeded
    assert len(services.pinterest.calls.of("oauth/token")) == 3
    assert ran.log.count("this task starts again") == 2
    assert "authorise the app again" in ran.log


def set_people_of_day(services: Services, day: int) -> set[str]:
    """Set the people that the query finds on a day, and return their digests."""
    rows = [{"email": person, "opted_in": 1} for person in people(200, first=10 * day)]
    services.td.create("sandbox", "people", rows)
    return digests(200, first=10 * day)


def test_concurrent_mirrors_end_with_the_right_people(services: Services, server_project: Path) -> None:
    audiences = [services.audience(name=f"Followers {number}") for number in range(amount(4, quick=2))]
    entry = {"ad_account_id": AD_ACCOUNT_ID, "action": "mirror_current_audience", "query": "queries/people.sql"}
    entries = [{"name": audience_id, "audience_id": audience_id, **entry} for audience_id in audiences]
    (server_project / "config" / "audiences.yml").write_text(json.dumps({"audiences": entries, **SHARED}))
    with workflow_server(services) as (kept, environ):
        for day in range(amount(3, quick=2)):
            expected = set_people_of_day(services, day)
            ran = run_entries(server_project, services, secrets=ServerSecrets(kept), environ=environ)
            assert ran.succeeded, ran.log
            assert list(map(services.pinterest.members_of_audience, audiences)) == [expected] * len(audiences)
