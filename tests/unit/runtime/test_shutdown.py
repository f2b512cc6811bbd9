"""The end of a run on a signal: the flag, the exception, and what the end waits for."""

import _thread
import contextvars
import os
import resource
import signal
import threading
from collections.abc import Callable, Iterator

import pytest

from td_pinterest_op.errors import StoppedError
from td_pinterest_op.runtime import shutdown

NAME = contextvars.ContextVar("NAME", default="")


@pytest.fixture(autouse=True)
def nothing_requested() -> Iterator[None]:
    yield
    shutdown.clear_request()


def test_stopped_run_names_the_first_reason() -> None:
    shutdown.raise_if_requested()
    shutdown.request_end("SIGTERM")
    shutdown.request_end("SIGINT")
    assert shutdown.is_requested()
    with pytest.raises(StoppedError, match=r"the run was stopped \(SIGTERM\)"):
        shutdown.raise_if_requested()


def test_second_signal_does_not_interrupt_what_the_first_one_lets_finish() -> None:
    before = signal.getsignal(signal.SIGINT)
    finished = []

    def run() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGINT)
            finished.append("what was under way")

    with pytest.raises(StoppedError, match="SIGTERM"), shutdown.end_on_signals() as signals:
        run()
    assert (signals, finished) == ([signal.SIGTERM, signal.SIGINT], ["what was under way"])
    # The next run of the process is not stopped.
    assert (signal.getsignal(signal.SIGINT), shutdown.is_requested()) == (before, False)


def test_process_that_crashes_during_or_after_a_run_leaves_no_core_dump() -> None:
    before = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    try:
        with shutdown.end_on_signals():
            during = resource.getrlimit(resource.RLIMIT_CORE)[0]
        after = resource.getrlimit(resource.RLIMIT_CORE)[0]
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, before)
    assert (during, after) == (0, 0)


def test_uninterrupted_function_returns_its_result_or_raises_its_error() -> None:
    assert shutdown.run_uninterrupted(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        shutdown.run_uninterrupted(lambda: 1 // 0)


def test_end_waits_for_an_uninterrupted_function() -> None:
    go_on = threading.Event()
    saved = []

    def save() -> None:
        os.kill(os.getpid(), signal.SIGTERM)  # handled in the main thread, which waits for the result
        go_on.wait(10)
        saved.append("token")

    threading.Timer(0.1, go_on.set).start()
    with pytest.raises(StoppedError), shutdown.end_on_signals():
        shutdown.run_uninterrupted(save)
    assert saved == ["token"]


def test_end_does_not_wait_for_ever_and_says_what_may_be_lost(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shutdown, "_TOKEN_SAVING_SECONDS", 0.0)
    at_end = threading.Event()

    def hang() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        at_end.wait(10)

    with pytest.raises(StoppedError), shutdown.end_on_signals():
        shutdown.run_uninterrupted(hang)
    at_end.set()
    (message,) = caplog.messages
    assert message.startswith("a new refresh token may not be saved: if the stored one is refused")


def test_thread_has_the_context_variables_of_its_starter() -> None:
    NAME.set("vip")
    assert shutdown.start_thread(NAME.get).result(10) == "vip"


def test_a_signal_while_a_thread_begins_does_not_end_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    start = _thread.start_new_thread
    has_run = threading.Event()

    def start_and_signal(function: Callable[..., object], arguments: tuple[object, ...]) -> int:
        ident = start(function, arguments)
        signal.raise_signal(signal.SIGTERM)
        return ident

    monkeypatch.setattr(_thread, "start_new_thread", start_and_signal)
    with pytest.raises(StoppedError), shutdown.end_on_signals():
        shutdown.start_thread(has_run.set)
    assert has_run.wait(5)


def test_signal_ends_the_wait_for_a_thread_that_died_as_it_began(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for lack of memory: nobody hears of such a thread."""

    def die(*_: object) -> int:
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        return 0

    monkeypatch.setattr(shutdown, "_TOKEN_SAVING_SECONDS", 0.0)
    monkeypatch.setattr(_thread, "start_new_thread", die)
    with pytest.raises(StoppedError), shutdown.end_on_signals():
        shutdown.run_uninterrupted(int)
    shutdown._uninterrupted_calls.clear()
