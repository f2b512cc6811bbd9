"""A tree of tasks, beyond the cases of test_like_digdag: sessions, scopes, repetition and error."""

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.dig import DigError, Result, run, warm

Flow = Callable[..., Result]
_MODULE = """
import digdag

class Counter:
    def run(self, name, fail_times=0):
        with open(name, "a") as file:
            file.write("x")
        with open(name) as file:
            count = len(file.read())
        digdag.env.store({name: count, "all": {name: count}})
        if count <= int(fail_times):
            raise ValueError(f"try {count}")
"""


@pytest.fixture
def flow(tmp_path: Path) -> Flow:
    """Runs a workflow called flow, next to a module `job`."""

    def run_text(text: str, **options: Any) -> Result:
        (tmp_path / "flow.dig").write_text(text)
        (tmp_path / "job.py").write_text(_MODULE)
        return run(tmp_path / "flow.dig", **{"sleep": lambda _seconds: None, "start": warm.start, **options})

    return run_text


def _echoed(result: Result) -> list[str]:
    return [line for line in result.log.splitlines() if not line.startswith("[")]


def test_parameters_have_the_session_in_the_workflows_time_zone(flow: Flow) -> None:
    names = ("session_time", "session_date", "session_date_compact", "session_local_time", "session_unixtime")
    text = "timezone: America/New_York\n+a: {echo>: '" + "|".join(f"${{{name}}}" for name in names) + "'}\n"
    result = flow(text, session_time=datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc))
    assert _echoed(result) == ["2026-01-01T22:04:05-05:00|2026-01-01|20260101|2026-01-01 22:04:05|1767323045"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [("2026-01-02", "2026-01-02T00:00:00+09:00"), ("2026-01-02 03:04:05", "2026-01-02T03:04:05+09:00")],
)
def test_session_time_is_read_as_on_the_command_line(flow: Flow, given: str, expected: str) -> None:
    assert _echoed(flow("timezone: Asia/Tokyo\n+a: {echo>: '${session_time}'}\n", session_time=given)) == [expected]


def test_session_time_of_another_form_is_an_error(flow: Flow) -> None:
    with pytest.raises(DigError, match="A session has a time zone"):
        flow("+a: {echo>: a}\n", session_time="tomorrow")


def test_exports_reach_subtasks_and_win_over_parameters_of_the_call(flow: Flow) -> None:
    text = """
_export: {a: top, b: top}
+g:
  _export: {b: group}
  +t:
    _export: {c: task}
    echo>: ${a} ${b} ${c} ${d}
+u: {echo>: "${b} ${typeof c}"}
"""
    assert _echoed(flow(text, params={"a": "given", "d": "given"})) == ["top group task given", "top undefined"]


@pytest.mark.parametrize("parallel", ["false", "true", "'true'", "{limit: 3}"])
def test_stored_values_are_merged_and_reach_later_tasks(flow: Flow, parallel: str) -> None:
    counters = "+a: {py>: job.Counter, name: one}, +b: {py>: job.Counter, name: two}"
    result = flow(f'+g: {{_parallel: {parallel}, {counters}}}\n+c: {{echo>: "${{all}} ${{one}}"}}\n')
    assert _echoed(result) == ['{"one":1,"two":1} 1']
    assert result.store == {"one": 1, "two": 1, "all": {"one": 1, "two": 1}}


@pytest.mark.parametrize(
    ("retry", "waits", "status"),
    [
        ("'2'", [0, 0], "success"),
        ("1", [0], "error"),
        ("{limit: 2, interval: 10}", [10, 10], "success"),
        ("{limit: 2, interval: 10, interval_type: exponential}", [10, 20], "success"),
        ("{limit: 2, interval: 10, max_interval: 15, interval_type: exponential}", [10, 15], "success"),
        ("{limit: 2, interval: 20, max_interval: 15}", [20, 20], "success"),
    ],
)
@pytest.mark.parametrize("at", ["task", "group"])
def test_retry_repeats_a_task_or_a_whole_group(flow: Flow, retry: str, waits: list[int], status: str, at: str) -> None:
    places = {"task": ("", f", _retry: {retry}"), "group": (f"_retry: {retry}, ", "")}
    group, task = places[at]
    waited: list[float] = []
    text = f"+g: {{{group}+t: {{py>: job.Counter, name: n, fail_times: 2{task}}}}}\n+after: {{echo>: 'tries ${{n}}'}}\n"
    result = flow(text, sleep=waited.append)
    assert (result.status, waited) == (status, waits)
    assert (status == "success") == ("tries 3" in _echoed(result))


@pytest.mark.parametrize("retry", ["true", "{interval: 1}", "{limit: 1, interval_type: random}"])
def test_invalid_retry_fails_the_task(flow: Flow, retry: str) -> None:
    assert flow(f"+a: {{py>: job.Counter, name: n, _retry: {retry}}}\n").status == "error"


def test_error_task_runs_once_after_the_retries_with_message_and_traceback(flow: Flow) -> None:
    result = flow("+a: {py>: job.Counter, name: n, fail_times: 9, _retry: 1, _error: {echo>: 'E<${error.message}>'}}\n")
    assert result.log.count("\nE<") == 1
    message = result.log[result.log.index("\nE<") :]
    told = "Python command failed with code 1\nError messages from python: try 2 (ValueError)\n\tfrom "
    assert message.startswith(f"\nE<{told}")
    assert "job.py" in message
    assert "ValueError: try 2\n (runtime)>" in message
