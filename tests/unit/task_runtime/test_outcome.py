"""The end of a run: what is published, and in which order."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from td_pinterest_op.errors import StoppedError
from td_pinterest_op.task_runtime.outcome import publish_outcome_and_raise
from td_pinterest_op.task_runtime.task import Task


def test_stopped_task_logs_its_paragraph_since_digdag_ends_with_it(caplog: pytest.LogCaptureFixture) -> None:
    services: Any = SimpleNamespace(task=Task(params={"attempt_id": 1}, environ={}))
    stopped = StoppedError("the run was stopped (SIGINT)")
    with pytest.raises(StoppedError):
        publish_outcome_and_raise(services, stopped, history=None, rows=[], error_subjects=[("audience", "4")])
    assert caplog.record_tuples == [
        ("td_pinterest_op.task_runtime.outcome", logging.ERROR, "the run was stopped (SIGINT) (audience 4)")
    ]
