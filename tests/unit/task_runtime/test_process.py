"""The process of a task: how it ends, and what its log shows."""

import contextlib
import errno
import logging
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator

import pytest

from td_pinterest_op.errors import AudienceError, ExportError, StoppedError, UnexpectedError, WorkflowError
from td_pinterest_op.redaction.secret import Secret
from td_pinterest_op.task_runtime.process import GuardedTaskRun


@pytest.fixture(autouse=True)
def hook() -> Iterator[None]:
    before = sys.excepthook
    yield
    sys.excepthook = before


def test_export_error_is_raised_without_the_traceback_of_the_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    raised = AudienceError("no such audience")

    def deep(depth: int) -> None:
        if depth:
            deep(depth - 1)
        try:
            int("a row could be quoted here")
        except ValueError:
            raise raised  # noqa: B904 - as it is, with its context

    with pytest.raises(AudienceError) as caught, GuardedTaskRun():
        deep(20)
    assert raised is caught.value
    shown = traceback.format_exception(caught.value)
    assert len(shown) <= 4
    assert "".join(shown).count("no such audience") == 1
    # Python does not print what digdag prints.
    capsys.readouterr()
    sys.excepthook(AudienceError, caught.value, None)
    assert capsys.readouterr().err == ""
    sys.excepthook(AudienceError, AudienceError("another one"), None)
    assert "another one" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("person@shop.example is odd"), "ValueError at test_process.py:"),
        (RuntimeError("an odd one"), "RuntimeError at test_process.py:"),
    ],
)
def test_unexpected_error_is_replaced_by_its_type_and_place(error: Exception, told: str) -> None:
    with pytest.raises(UnexpectedError) as caught, GuardedTaskRun():
        raise error
    assert str(caught.value).startswith(told)
    assert "odd" not in str(caught.value)
    assert "Please report it" in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "OSError (No space left on device) at test_process.py:"),
        (OSError(errno.EMFILE, "Too many open files"), "(Too many open files) at test_process.py:"),
        (PermissionError(errno.EACCES, "Permission denied", "a"), "a cannot be read or written: Permission denied"),
        (MemoryError(), "Give the machine or container what it lacks, such as memory"),
    ],
)
def test_shortage_of_the_machine_is_a_workflow_error(error: Exception, told: str) -> None:
    with pytest.raises(WorkflowError) as caught, GuardedTaskRun():
        raise error
    assert told in str(caught.value)


def test_without_a_folder_for_temporary_files_the_error_says_how_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    # The guard over the output needs such a folder itself.
    with monkeypatch.context() as patched:
        patched.setattr(tempfile, "tempdir", None)
        patched.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/nowhere"])
        advice = r"No usable temporary directory found .* \(TMPDIR names"
        with pytest.raises(WorkflowError, match=advice), GuardedTaskRun():
            tempfile.TemporaryFile()  # noqa: SIM115 - it fails


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_a_task_with_its_name_in_the_error(number: signal.Signals) -> None:
    with pytest.raises(StoppedError, match=number.name), GuardedTaskRun():
        signal.raise_signal(number)


def test_the_log_says_who_must_act(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ExportError) as caught, GuardedTaskRun():
        raise AudienceError("no such audience")
    out = capsys.readouterr().err
    assert f"{type(caught.value).__name__}. Who must act: {caught.value.who}. {caught.value.general_advice}" in out
    assert "no such audience" not in out


@pytest.mark.parametrize("error", [None, ValueError("no")])
def test_signals_are_restored_afterwards(error: Exception | None) -> None:
    def state() -> object:
        return [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]

    before = state()
    with contextlib.suppress(ExportError), GuardedTaskRun():
        assert before != state()
        if error:
            raise error
    assert before == state()


def test_session_log_has_masked_lines_and_no_other_handler_gets_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.StreamHandler(sys.stdout)])
    Secret("hush-4711-hush")
    log = logging.getLogger("td_pinterest_op.somewhere")
    with GuardedTaskRun():
        log.info("begun with %s", "hush-4711-hush")
        log.warning("odd: %s", "anna@shop.invalid")
        log.debug("not to be seen")
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split(" ", 2)[2] for line in err.splitlines()] == ["INFO begun with ***", "WARNING odd: <hidden>"]
