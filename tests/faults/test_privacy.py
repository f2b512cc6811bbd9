"""Files and messages after any failure: they contain no person and no key."""

import contextlib
import logging
import tempfile
from pathlib import Path

import pytest

from td_pinterest_op.errors import ExportError, PinterestError, WorkflowError
from tests import guard
from tests.emulators.pinterest import (
    Answer,
    Effect,
    Fault,
    Mangle,
    Redirect,
    Reset,
    When,
)
from tests.emulators.td import API_KEY
from tests.emulators.td import Fault as TreasureDataFault
from tests.exporting import people
from tests.faults.conftest import Stage

BATCH = "customer_lists/update"


@pytest.mark.parametrize(
    ("values", "effect", "operation"),
    [
        (people(50), None, None),
        ([*people(50), "person@shop@shop.example"], None, None),
        (people(50), Answer(status=403), "oauth/token"),
        (people(50), Answer(status=403), "audiences/get"),
        (people(50), Answer(status=403), BATCH),
        (people(50), Answer(status=500), BATCH),
        (people(50), Reset(), BATCH),
    ],
)
def test_run_leaves_no_file_after_success_or_failure(
    stage: Stage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    values: list[str],
    effect: Effect | None,
    operation: str | None,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if effect:
        stage.pinterest.inject(Fault(effect=effect, operation=operation, times=None))
    fails = effect is not None or len(values) > 50
    with pytest.raises(ExportError) if fails else contextlib.nullcontext():
        stage.add(values)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("effect", "when"),
    [
        (Answer(status=400), When.BEFORE),
        (Answer(status=403), When.BEFORE),
        (Answer(status=404), When.BEFORE),
        (Answer(status=413), When.BEFORE),
        (Answer(status=429), When.BEFORE),
        (Answer(status=500), When.AFTER),
        (Mangle(how="exceptions"), When.AFTER),
        (Mangle(how="error_body"), When.AFTER),
        (Mangle(how="not_json"), When.AFTER),
    ],
    ids=lambda value: getattr(value, "how", "") or str(getattr(value, "status", "")) or None,
)
def test_response_that_quotes_records_is_not_shown(
    stage: Stage, effect: Effect, when: When, caplog: pytest.LogCaptureFixture
) -> None:
    stage.pinterest.switches.echo_records_in_errors = True
    stage.pinterest.inject(Fault(effect=effect, when=when, operation=BATCH, times=None))
    with pytest.raises(ExportError) as raised:
        stage.add(people(20))
    guard.check(str(raised.value), "the error")
    guard.check(caplog.text, "the log")
    assert "Received:" not in str(raised.value) + caplog.text


TEMPLATES = ["${secret:td.apikey}", "${land}", "${1+1}", "$${x}"]


@pytest.mark.parametrize("message", TEMPLATES)
def test_message_of_pinterest_contains_no_active_digdag_template(stage: Stage, message: str) -> None:
    stage.pinterest.inject(Fault(effect=Answer(status=403, message=message), operation="audiences/get"))
    with pytest.raises(ExportError) as raised:
        stage.add(people(20))
    assert message.replace("${", "$ {") in str(raised.value)


@pytest.mark.parametrize("fails", [False, True], ids=["success", "failure"])
def test_http_libraries_log_no_key_even_at_debug(
    stage: Stage, fails: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("", "tdclient", "tdclient.api", "urllib3", "urllib3.connectionpool", "requests"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.DEBUG)
    logging.getLogger("tdclient").manager._clear_cache()  # type: ignore[attr-defined]
    stage.services.td.answer(500, path="/v3/job/show", times=1)
    if fails:
        stage.pinterest.answer(401, operation=BATCH, times=None)
        with pytest.raises(ExportError):
            stage.add(people(20))
    else:
        stage.add(people(20))
    assert API_KEY not in caplog.text
    guard.check(caplog.text, "the log")


@pytest.mark.parametrize(
    ("status", "operation"),
    [(301, BATCH), (302, "audiences/get"), (303, "oauth/token"), (307, BATCH), (308, "oauth/token")],
)
def test_redirect_by_pinterest_is_not_followed(stage: Stage, status: int, operation: str) -> None:
    td = stage.services.td
    # Under another name the emulator of Treasure Data is another host, which records its requests.
    elsewhere = stage.services.environ["TD_API_SERVER"].replace("127.0.0.1", "localhost") + "elsewhere"
    stage.pinterest.inject(Fault(effect=Redirect(location=elsewhere, status=status), operation=operation))
    td.requests.clear()
    with pytest.raises(PinterestError, match="Redirects are not followed"):
        stage.add(people(20))
    assert [request for request in td.requests if "elsewhere" in request.path] == []


@pytest.mark.parametrize("path", ["/v3/job/status/", "/v3/job/show/", "/v3/job/result/"])
def test_redirect_by_treasure_data_is_not_followed(stage: Stage, path: str) -> None:
    elsewhere = stage.services.environ["PINTEREST_API_ENDPOINT"].replace("127.0.0.1", "localhost") + "/elsewhere"
    fault = TreasureDataFault(kind="status", status=307, path=path, headers={"Location": elsewhere}, times=1000)
    stage.services.td.faults.add(fault)
    with pytest.raises(WorkflowError, match="Redirects are not followed: check TD_API_SERVER"):
        stage.add(people(20))
    assert [call for call in stage.pinterest.calls.all() if "elsewhere" in call.path] == []
