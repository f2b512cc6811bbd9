"""The process of a task: how it ends, and what its log shows."""

from __future__ import annotations

import logging
import signal

import pytest

from td_pinterest_op.errors import AudienceError, ExportError, StoppedError, UnexpectedError, WorkflowError
from td_pinterest_op.secret import Secret
from td_pinterest_op.workflow.run import task_process


def test_one_of_our_errors_comes_out_as_it_is_and_alone() -> None:
    raised = AudienceError("no such audience")

    def look() -> None:
        try:
            int("a row could be quoted here")
        except ValueError:
            raise raised  # noqa: B904 - as it is, with its context

    with pytest.raises(AudienceError) as caught, task_process():
        look()
    assert raised is caught.value
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("person@shop.example is odd"), "ValueError at test_run.py:"),
        (
            OSError(5, "Input/output error", "/tmp/x"),
            "OSError (Input/output error) at test_run.py:",
        ),
        (MemoryError(), "MemoryError at test_run.py:"),
    ],
)
def test_of_any_other_error_only_type_and_place_are_told(error: Exception, told: str) -> None:
    with pytest.raises(UnexpectedError) as caught, task_process():
        raise error
    assert str(caught.value).startswith(told)
    assert "odd" not in str(caught.value)
    assert "please report it" in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_full_disk_is_the_authors_to_mend() -> None:
    with pytest.raises(WorkflowError, match="the disk is full: the operator needs 32 bytes"), task_process():
        raise OSError(28, "No space left on device")


def test_a_task_that_is_told_to_end_says_so() -> None:
    with pytest.raises(StoppedError, match="SIGTERM"), task_process():
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("error", [None, AudienceError("no"), ValueError("no")])
def test_afterwards_everything_is_as_it_was(error: Exception | None) -> None:
    def state() -> object:
        log = logging.getLogger("td_pinterest_op")
        return signal.getsignal(signal.SIGTERM), list(log.handlers), log.level, log.propagate

    before = state()
    try:
        with task_process():
            assert before != state()
            if error:
                raise error
    except ExportError:
        pass
    assert before == state()


def test_the_sessions_log_has_level_and_text_and_no_credential_or_person(capsys: pytest.CaptureFixture[str]) -> None:
    Secret("hush-4711-hush")
    log = logging.getLogger("td_pinterest_op.somewhere")
    with task_process():
        log.info("begun with %s", "hush-4711-hush")
        log.warning("odd: %s", "anna@shop.invalid")
        log.debug("not to be seen")
    out, err = capsys.readouterr()
    assert "" == out
    assert ["INFO begun with ***", "WARNING odd: <hidden>"] == [line.split(" ", 2)[2] for line in err.splitlines()]
