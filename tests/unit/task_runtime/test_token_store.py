"""Where a new refresh token is kept, and what is said when it cannot be."""

import json
import logging
import stat
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from td_pinterest_op.http.transport import Failure, Response
from td_pinterest_op.redaction.secret import Secret
from td_pinterest_op.runtime import shutdown
from td_pinterest_op.runtime.clock import DAY_SECONDS
from td_pinterest_op.settings.parse import parse_settings
from td_pinterest_op.settings.table import CONNECTION_SETTINGS
from td_pinterest_op.task_runtime import digdag_secrets
from td_pinterest_op.task_runtime.digdag_secrets import RefreshTokenStore
from td_pinterest_op.task_runtime.task import Task
from tests.clock import FakeTime
from tests.unit.scripted import Script, answer

OLD = Secret("s3cr3t-old-token")
NEW = Secret("s3cr3t-new-token")
NEWER = Secret("s3cr3t-newer-token")
CREDENTIALS = {"PINTEREST_CLIENT_ID": "1", "PINTEREST_CLIENT_SECRET": "2", "PINTEREST_REFRESH_TOKEN": "3"}
KEY = "pinterest.refresh_token"
TD_KEY = "1/s3cr3t-td-key"
SERVER = "https://digdag.test:65432"
HOSTED = f"https://api-workflow.treasuredata.com/api/projects/4711/secrets/{KEY}"
Serve = Callable[..., Script]
# FakeTime begins on 2027-01-15.
IN_60_DAYS = "2027-03-16"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Returns a function that gives a workflow server its responses, a success unless told."""

    def give(*responses: Response | Failure) -> Script:
        script = Script(FakeTime(), responses or [answer()])
        monkeypatch.setattr(digdag_secrets, "Transport", lambda **_limits: script)
        return script

    return give


def store(
    environ: Mapping[str, str] | None = None,
    *,
    secret_name: str | None = KEY,
    project_id: int | None = 4711,
    time: FakeTime | None = None,
) -> RefreshTokenStore:
    params = {} if project_id is None else {"project_id": project_id}
    task = Task(params=params, environ={"TD_API_KEY": TD_KEY} | dict(environ or {}))
    settings = parse_settings({"type": "pinterest"}, table=CONNECTION_SETTINGS, environ=CREDENTIALS)
    settings = replace(settings, refresh_token=OLD, refresh_token_secret=secret_name)
    return RefreshTokenStore(task=task, settings=settings, timing=(time or FakeTime()).timing)


def secrets_file(folder: Path, content: str = "s3cr3t-old-token") -> Path:
    file = folder / "secrets" / KEY
    file.parent.mkdir(parents=True)
    file.write_text(content)
    file.chmod(0o600)
    return file


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    ours = [record for record in caplog.records if record.name.startswith("td_pinterest_op")]
    return [record.getMessage() for record in ours if record.levelno >= logging.WARNING]


# -- the local secrets folder


def test_local_secret_is_replaced_in_place_at_each_renewal_and_stays_private(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = secrets_file(home / ".config" / "digdag", "s3cr3t-old-token\n")
    file.parent.chmod(0o770)
    kept = store(project_id=1)
    for issued in (NEW, NEWER):
        kept.save_token_or_warn_of_expiry(issued, 60 * DAY_SECONDS)
        assert issued.reveal() == file.read_text()
    # Whoever shares the folder goes on sharing it.
    assert tuple(stat.S_IMODE(path.stat().st_mode) for path in (file, file.parent)) == (0o600, 0o770)
    assert [file] == list(file.parent.iterdir())
    assert warnings(caplog) == []


# What a server of its own calls the folder of a task, below a temporary one.
WORKSPACE = "workspace/1_pinterest_export_12_34_5678"


@pytest.mark.parametrize(
    ("environ", "project_id", "folder", "url"),
    [
        ({"DIGDAG_ENDPOINT": SERVER}, 1, WORKSPACE, f"{SERVER}/api/projects/1/secrets/{KEY}"),
        ({}, 4711, ".", HOSTED),
    ],
)
def test_a_run_on_a_server_uses_no_local_secret(
    home: Path,
    environ: dict[str, str],
    project_id: int,
    folder: str,
    url: str,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = secrets_file(home / ".config" / "digdag")
    (home / folder).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(home / folder)
    server = serve()
    kept = store(environ, project_id=project_id)
    kept.save_token_or_warn_of_expiry(NEW, None)
    assert (only_request(server).method, only_request(server).url) == ("PUT", url)
    assert file.read_text() == OLD.reveal()
    assert kept.read_stored_refresh_token() is None


@pytest.mark.parametrize("folder", [".", "workspace/2_pinterest_export_12_34_5678"])
def test_a_local_run_with_an_endpoint_stores_nothing_on_the_server(
    home: Path,
    folder: str,
    serve: Serve,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secrets_file(home / ".config" / "digdag", "s3cr3t-of-somebody-else")
    (home / folder).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(home / folder)
    server = serve()
    kept = store({"DIGDAG_ENDPOINT": SERVER}, project_id=1)
    assert kept.read_stored_refresh_token() is None
    kept.save_token_or_warn_of_expiry(NEW, None)
    assert server.sent == []
    (warning,) = warnings(caplog)
    assert "the old token is not in a local secrets file, and only a task of a workflow server stores one" in warning


@pytest.mark.parametrize(
    ("content", "is_adopted", "expected"),
    [
        ("s3cr3t-newer-token", False, NEWER),  # another task has stored a newer one, which stays
        ("s3cr3t-newer-token\n", True, NEW),
        ("", False, NEW),
        (None, False, NEW),  # whoever replaces a file without care removes it first
    ],
)
def test_token_is_saved_over_the_one_that_this_run_knows(
    home: Path, caplog: pytest.LogCaptureFixture, content: str | None, is_adopted: bool, expected: Secret
) -> None:
    file = secrets_file(home / ".config" / "digdag")
    kept = store(project_id=1)
    file.unlink()
    if content is not None:
        file.write_text(content)
    if is_adopted:
        assert kept.read_stored_refresh_token() == NEWER
    kept.save_token_or_warn_of_expiry(NEW, 60 * DAY_SECONDS)
    assert file.read_text() == expected.reveal()
    assert warnings(caplog) == []


def test_local_secret_that_cannot_be_written_stays_with_a_warning(
    home: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = secrets_file(home / ".config" / "digdag")
    kept = store(project_id=1)
    monkeypatch.setattr(Path, "replace", Mock(side_effect=OSError(28, "No space left on device")))
    kept.save_token_or_warn_of_expiry(NEW, 60 * DAY_SECONDS)
    (warning,) = warnings(caplog)
    assert "could not be saved (No space left on device)" in warning
    assert OLD == kept.current == kept.read_stored_refresh_token()
    assert [file] == list(file.parent.iterdir())


# -- the workflow server


def only_request(server: Script) -> Any:
    (request,) = server.sent
    return request


@pytest.mark.parametrize(
    ("td_server", "host"),
    [
        (None, "api-workflow.treasuredata.com"),
        ("api.treasuredata.com", "api-workflow.treasuredata.com"),
        ("https://api.treasuredata.co.jp:443/", "api-workflow.treasuredata.co.jp"),
        ("https://api-acme1.connect.eu01.treasuredata.com/", "api-workflow-acme1.connect.eu01.treasuredata.com"),
        ("https://api-staging.treasuredata.co.jp", "api-staging-workflow.treasuredata.co.jp"),
    ],
)
def test_hosted_workflow_keeps_it_in_the_project(
    home: Path, td_server: str | None, host: str, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve()
    store({"TD_API_SERVER": td_server} if td_server else {}).save_token_or_warn_of_expiry(NEW, 60 * DAY_SECONDS)
    request = only_request(server)
    assert (request.method, request.url) == ("PUT", f"https://{host}/api/projects/4711/secrets/{KEY}")
    assert json.loads(request.body) == {"value": "s3cr3t-new-token"}
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Authorization"] == f"TD1 {TD_KEY}"
    assert warnings(caplog) == []


@pytest.mark.parametrize("authorization", ["Bearer s3cr3t-of-digdag", ""])
def test_another_server_gets_its_own_authorisation_and_never_treasure_datas_key(
    home: Path, authorization: str, serve: Serve
) -> None:
    server = serve()
    store({"DIGDAG_ENDPOINT": f"{SERVER}/", "DIGDAG_AUTHORIZATION": authorization}).save_token_or_warn_of_expiry(
        NEW, None
    )
    request = only_request(server)
    assert request.url == f"{SERVER}/api/projects/4711/secrets/{KEY}"
    assert (authorization or None) == request.headers.get("Authorization")
    assert TD_KEY not in f"{request.headers} {request.body}"


@pytest.mark.parametrize("passing", [answer(503), answer(429), Failure.NOT_CONNECTED])
def test_a_passing_failure_is_tried_again_for_a_minute(
    home: Path, passing: Response | Failure, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(*[passing] * 7, answer())
    time = FakeTime()
    kept = store(time=time)
    kept.save_token_or_warn_of_expiry(NEW, None)
    assert (len(server.sent), sum(time.slept)) == (8, 60.5)
    assert kept.current == NEW
    assert warnings(caplog) == []


def test_signal_ends_the_waits_between_tries_of_saving_a_token(home: Path, serve: Serve) -> None:
    server = serve(*[answer(503)] * 7, answer())
    time = FakeTime()
    shutdown.request_end("SIGTERM")
    try:
        store(time=time).save_token_or_warn_of_expiry(NEW, None)
    finally:
        shutdown.clear_request()
    assert (len(server.sent), sum(time.slept)) == (8, 0)


@pytest.mark.parametrize(
    ("response", "tries", "why"),
    [
        (answer(401), 1, "the workflow server answered 401"),
        (answer(302, headers={"Location": "https://elsewhere.test/"}), 1, "answered 302"),
        (answer(500), 8, "the workflow server answered 500"),
        (Failure.CONNECT_TIMEOUT, 8, "the workflow server cannot be reached: no connection within"),
    ],
)
def test_token_that_cannot_be_saved_causes_one_warning_with_day_and_advice(
    home: Path,
    response: Response | Failure,
    tries: int,
    why: str,
    serve: Serve,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = serve(response)
    store().save_token_or_warn_of_expiry(NEW, 60 * DAY_SECONDS)
    assert [request.url for request in server.sent] == [HOSTED] * tries
    (warning,) = warnings(caplog)
    for part in (why, IN_60_DAYS, "Authorise the app again", f"in the secret {KEY}"):
        assert part in warning


@pytest.mark.parametrize(
    ("environ", "project_id", "secret_name", "why"),
    [
        ({}, 4711, None, "written in plain text"),
        ({}, None, KEY, "only a task of a workflow server stores one there"),
        (
            {"TD_API_SERVER": "https://api.treasuredata.com.attacker.test"},
            4711,
            KEY,
            "needs DIGDAG_ENDPOINT in its _env",
        ),
        ({"TD_API_SERVER": "https://api-a.b.connect.treasuredata.com"}, 4711, KEY, "needs DIGDAG_ENDPOINT in its _env"),
        ({"DIGDAG_ENDPOINT": "http://digdag.test"}, 4711, KEY, "DIGDAG_ENDPOINT must be an https address"),
        ({"DIGDAG_ENDPOINT": SERVER}, None, KEY, "only a task of a workflow server stores one there"),
    ],
)
def test_token_without_a_store_is_sent_nowhere(
    home: Path,
    environ: dict[str, str],
    project_id: int | None,
    secret_name: str | None,
    why: str,
    serve: Serve,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = serve()
    store(environ, project_id=project_id, secret_name=secret_name).save_token_or_warn_of_expiry(NEW, None)
    assert server.sent == []
    (warning,) = warnings(caplog)
    assert why in warning
    assert "a day that Pinterest did not name" in warning


def test_first_project_of_a_server_without_an_endpoint_sends_its_token_nowhere(
    home: Path, serve: Serve, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / WORKSPACE).mkdir(parents=True)
    monkeypatch.chdir(home / WORKSPACE)
    server = serve()
    store(project_id=1).save_token_or_warn_of_expiry(NEW, None)
    assert server.sent == []
    assert "DIGDAG_ENDPOINT is missing in the task's _env" in caplog.text


# -- the end of the old token


def test_token_that_ends_within_14_days_causes_a_warning(
    home: Path, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve()
    kept = store()
    for seconds in (None, 14 * DAY_SECONDS + 1, 14 * DAY_SECONDS):
        kept.save_token_or_warn_of_expiry(None, seconds)
    assert server.sent == []
    (warning,) = warnings(caplog)
    assert "the refresh token expires on 2027-01-29" in warning
    assert f"store the new refresh token in the secret {KEY}" in warning
