"""The flag that ends a run, and what the end waits for."""

import threading
from collections.abc import Iterator

import pytest

from td_pinterest_op.errors import StoppedError
from td_pinterest_op.runtime import shutdown


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


def test_next_run_of_the_process_is_not_stopped() -> None:
    shutdown.request_end("SIGTERM")
    shutdown.clear_request()
    shutdown.raise_if_requested()
    assert not shutdown.is_requested()


def test_shielded_function_returns_its_result_or_raises_its_error() -> None:
    assert 7 == shutdown.run_uninterrupted(lambda: 7)
    with pytest.raises(ZeroDivisionError):
        shutdown.run_uninterrupted(lambda: 1 // 0)


def test_function_runs_unshielded_if_no_thread_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    assert 7 == shutdown.run_uninterrupted(lambda: 7)
    monkeypatch.undo()
    shutdown.wait_for_protected_work()


def test_thread_runs_although_a_signal_arrives_during_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    start, ended = threading.Thread.start, threading.Event()

    def start_during_a_signal(thread: threading.Thread) -> None:
        shutdown.request_end("SIGINT")
        shutdown.raise_if_requested()  # as the handler does
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_during_a_signal)
    with pytest.raises(StoppedError):
        shutdown.start_thread(ended.set)
    assert ended.wait(10)


def test_end_waits_for_what_is_being_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutdown, "_RESPONSE_SECONDS", 0.0)
    begun, saved = threading.Event(), threading.Event()
    go_on = threading.Event()

    def save() -> None:
        with shutdown.protect_saving():
            begun.set()
            go_on.wait(10)
            saved.set()

    threading.Thread(target=save).start()
    begun.wait(10)
    threading.Timer(0.1, go_on.set).start()
    assert shutdown.wait_for_protected_work()
    assert saved.is_set()


def test_end_reports_that_something_may_not_be_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutdown, "_SAVING_SECONDS", 0.0)
    with shutdown.protect_saving(0.0):
        assert not shutdown.wait_for_protected_work()
    assert shutdown.wait_for_protected_work()


def test_end_does_not_wait_long_for_a_response(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutdown, "_RESPONSE_SECONDS", 0.05)
    at_end = threading.Event()
    waiting = threading.Thread(target=shutdown.run_uninterrupted, args=(lambda: at_end.wait(10),))
    waiting.start()
    shutdown.wait_for_protected_work()
    assert not at_end.is_set()
    at_end.set()
    waiting.join(10)
