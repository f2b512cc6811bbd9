"""The end of a run: what is published, and in which order."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from td_pinterest_op.errors import JobError, StoppedError
from td_pinterest_op.runtime.clock import SYSTEM_TIMING
from td_pinterest_op.stats import Stats
from td_pinterest_op.task_runtime.outcome import Outcome, publishing
from td_pinterest_op.task_runtime.task import Task


def test_stopped_task_logs_its_paragraph_since_digdag_ends_with_it(caplog: pytest.LogCaptureFixture) -> None:
    services: Any = SimpleNamespace(task=Task(params={"attempt_id": 1}, environ={}))
    stopped = StoppedError("the run was stopped (SIGINT)")
    outcome = Outcome(get_subjects=lambda: [("audience", "4")], build_rows=list, history=None)
    with pytest.raises(StoppedError), publishing(services, outcome):
        raise stopped
    assert caplog.record_tuples == [
        ("td_pinterest_op.task_runtime.outcome", logging.ERROR, "the run was stopped (SIGINT) (audience 4)")
    ]


def test_run_publishes_log_then_report_then_history_then_rejected_rows_and_then_raises_its_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    report = tmp_path / "page.html"
    published: list[str] = []

    def note(name: str) -> Any:
        seen = [name, *(["log"] if caplog.records else []), *(["report"] if report.exists() else [])]
        return published.append(" after ".join(seen))

    history: Any = SimpleNamespace(write_rows=lambda rows: note(f"history of {rows}"))
    services: Any = SimpleNamespace(task=Task(params={}, environ={}), timing=SYSTEM_TIMING)
    outcome = Outcome(
        get_subjects=lambda: [("ad account", "7")],
        build_rows=lambda: [{"records": 2}],
        history=history,
        stats=Stats(),
        report=str(report),
        write_rejected=lambda: note("rejected rows"),
    )
    with pytest.raises(JobError, match="no result: a person"), publishing(services, outcome):
        raise JobError("no result", quote=": a person's text")
    row = {"outcome": "failed", "error": "no result (ad account 7)", "records": 2}
    assert published == [f"history of {[row]} after log after report", "rejected rows after log after report"]
