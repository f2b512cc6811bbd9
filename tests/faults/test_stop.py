"""A run is stopped: it ends within two seconds, whatever its log, its server or its code does."""

import contextlib
import json
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import guard
from tests.emulators.digdag_secrets import DigdagSecrets, serve_secrets
from tests.emulators.pinterest import AD_ACCOUNT_ID, REFRESH_TOKEN, Answer, Call, Fault, Stall, When
from tests.exporting import Services, people
from tests.faults import child
from tests.faults.child import Child

WITHIN = 2.0
KEY = "pinterest.refresh_token"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends of a pipe."""
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


def fill_pipe(writer: int) -> None:
    """Write to a pipe until it takes no more."""
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x")
    os.set_blocking(writer, True)


def settings_to_add(services: Services) -> dict[str, Any]:
    audience_id = services.audience([], name="Shoppers")
    return {"action": "add_people_to_current_audience", "audience_id": audience_id}


def stop_and_measure(run: Child) -> float:
    begin = time.monotonic()
    run.process.send_signal(signal.SIGTERM)
    run.process.wait(timeout=15)
    return time.monotonic() - begin


def test_stopped_run_ends_although_nobody_reads_its_log(
    services: Services, pipe: tuple[int, int], tmp_path: Path
) -> None:
    reader, writer = pipe
    run = child.start_run(
        services, settings_to_add(services), job_id=services.job(people(5)), folder=tmp_path, output=writer
    )
    assert select.select([reader], [], [], 15)[0]
    fill_pipe(writer)
    with pytest.raises(subprocess.TimeoutExpired):  # it hangs in its next line
        run.process.wait(timeout=0.5)
    assert stop_and_measure(run) < WITHIN
    error = json.loads((tmp_path / "output.json").read_text())["error"]
    assert "StoppedError" == error["class"]
    assert "the run was stopped (SIGTERM)" in error["message"]


def test_stopped_run_ends_although_warnings_remain_to_be_written(
    services: Services, pipe: tuple[int, int], tmp_path: Path
) -> None:
    """Of warnings that are alike, the last one is written at the end."""
    tried = threading.Semaphore(0)
    services.pinterest.inject(Fault(effect=Answer(status=503), operation="customer_lists/update", times=None))
    services.pinterest.on_request(lambda call: tried.release() if call.operation == "customer_lists/update" else None)
    settings = {**settings_to_add(services), "retry_initial_wait_millis": 50}
    run = child.start_run(services, settings, job_id=services.job(people(5)), folder=tmp_path, output=pipe[1])
    try:
        for _ in range(3):
            assert tried.acquire(timeout=15)
        fill_pipe(pipe[1])
        assert run.process.poll() is None
        assert stop_and_measure(run) < WITHIN
        assert "the run was stopped (SIGTERM)" in (tmp_path / "output.json").read_text()
    finally:
        run.process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_run_that_waits_for_a_response_ends_with_one_sentence(
    services: Services, tmp_path: Path, number: signal.Signals
) -> None:
    asked = threading.Event()
    services.pinterest.inject(Fault(effect=Stall(), operation="audiences/list"))
    services.pinterest.on_request(lambda call: asked.set() if call.operation == "audiences/list" else None)
    settings = {"action": "create_new_audience", "audience_name": "Shoppers"}
    run = child.start_run(services, settings, job_id=services.job(people(5)), folder=tmp_path)
    assert asked.wait(15)
    begin = time.monotonic()
    run.process.send_signal(number)
    _, said = run.wait(within=15)
    assert time.monotonic() - begin < WITHIN
    assert f"the run was stopped ({number.name}). Nothing was sent" in said
    assert "Traceback" not in said
    guard.check(said, "the output")


@pytest.mark.parametrize("operation", ["oauth/token", "audiences/get", "customer_lists/update"])
def test_stopped_entry_of_several_audiences_fails_and_stores_nothing(
    services: Services, tmp_path: Path, operation: str
) -> None:
    asked = threading.Event()
    services.pinterest.on_request(lambda call: asked.set() if call.operation == operation else None)
    services.pinterest.inject(Fault(effect=Stall(), operation=operation))
    services.td.create("sandbox", "people", [{"email": person} for person in people(5)])
    run = child.start_run(
        services,
        {"type": "pinterest", "audience_type": "customer_list"},
        job_id=None,
        folder=tmp_path,
        operator="td_pinterest_op.many.Many.export",
        database="sandbox",
        audience={"name": "vip", "ad_account_id": AD_ACCOUNT_ID, "query": "SELECT email FROM people"}
        | settings_to_add(services),
    )
    assert asked.wait(15)
    assert stop_and_measure(run) < WITHIN
    code, said = run.wait()
    left = json.loads((tmp_path / "output.json").read_text())
    assert (1, "StoppedError", {}) == (code, left["error"]["class"], left["store_params"])
    assert "the run was stopped (SIGTERM)" in said
    guard.check(said, "the output")


def test_stopped_run_saves_a_refresh_token_that_was_just_issued(services: Services, tmp_path: Path) -> None:
    """The signal comes when Pinterest has issued it and has not answered yet; saving it takes two tries."""
    services.pinterest.switches.rotate_refresh_tokens = True
    state = DigdagSecrets(api_key="workflow-s3cr3t-key", project_id="4711")
    with serve_secrets(state) as (secrets, url):
        secrets.set_secret(KEY, REFRESH_TOKEN)
        secrets.fail(503)

        def told_to_end(call: Call) -> None:
            if call.operation == "oauth/token":
                run.process.send_signal(signal.SIGTERM)

        services.pinterest.on_request(told_to_end, when=When.AFTER)
        environ = {"DIGDAG_ENDPOINT": url, "DIGDAG_AUTHORIZATION": "TD1 workflow-s3cr3t-key"}
        job_id = services.job([])
        given = settings_to_add(services)
        run = child.start_run(
            services, given, job_id=job_id, folder=tmp_path, environ=environ, hurried=False, project_id=4711
        )
        _, said = run.wait(within=15)
        assert "the run was stopped (SIGTERM)" in said
        assert secrets.secrets()[KEY] in services.pinterest.tokens.refresh_tokens()
        assert secrets.secrets()[KEY] != REFRESH_TOKEN
        guard.check(said, "the output")
