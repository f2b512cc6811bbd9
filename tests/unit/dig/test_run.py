"""How a tree of tasks runs: order, scopes, groups, repetition, error and check tasks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.dig import DigError, Result, run

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

def keep(value):
    digdag.env.store({"kept": value})
"""


@pytest.fixture
def flow(tmp_path: Path) -> Flow:
    """Runs a workflow called flow, next to a module `job`; waits are collected in `flow.waits`."""

    def run_text(text: str, **options: Any) -> Result:
        (tmp_path / "flow.dig").write_text(text)
        (tmp_path / "job.py").write_text(_MODULE)
        return run(tmp_path / "flow.dig", **{"sleep": lambda _seconds: None, **options})

    return run_text


def _echoed(result: Result) -> list[str]:
    return [line for line in result.log.splitlines() if not line.startswith("[")]


def test_tasks_run_in_their_order_and_a_failure_blocks_the_rest(flow: Flow) -> None:
    result = flow("+a: {echo>: one}\n+b: {fail>: no}\n+c: {echo>: three}\n")
    assert (result.status, _echoed(result)) == ("error", ["one"])
    assert result.tasks == [
        ("+flow", "group_error"),
        ("+flow+a", "success"),
        ("+flow+b", "error"),
        ("+flow+c", "blocked"),
    ]
    assert result.error == "  * +flow+b:\n    no"


def test_the_session_is_in_the_parameters_in_the_workflows_time_zone(flow: Flow) -> None:
    names = ("session_time", "session_date", "session_date_compact", "session_local_time", "session_unixtime")
    text = "timezone: America/New_York\n+a: {echo>: '" + "|".join(f"${{{name}}}" for name in names) + "'}\n"
    result = flow(text, session_time=datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc))
    assert _echoed(result) == ["2026-01-01T22:04:05-05:00|2026-01-01|20260101|2026-01-01 22:04:05|1767323045"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2026-01-02", "2026-01-02T00:00:00+09:00"),
        ("2026-01-02 03:04:05", "2026-01-02T03:04:05+09:00"),
    ],
)
def test_a_session_time_is_read_as_on_the_command_line(flow: Flow, given: str, expected: str) -> None:
    assert _echoed(flow("timezone: Asia/Tokyo\n+a: {echo>: '${session_time}'}\n", session_time=given)) == [expected]


def test_a_session_time_of_another_form_is_an_error(flow: Flow) -> None:
    with pytest.raises(DigError, match="A session has a time zone"):
        flow("+a: {echo>: a}\n", session_time="tomorrow")


def test_task_name_is_the_full_name_and_ids_are_numbers(flow: Flow) -> None:
    result = flow("+g:\n  +a: {echo>: '${task_name} ${attempt_id + project_id + session_id}'}\n")
    assert _echoed(result) == ["+flow+g+a 3"]


def test_exports_reach_what_is_below_and_win_over_given_parameters(flow: Flow) -> None:
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


def test_exports_are_evaluated_where_they_are_used(flow: Flow) -> None:
    text = "_export: {path: 'x-${kept}'}\n+a: {py>: job.keep, value: 1}\n"
    result = flow(text)
    assert "ReferenceError: kept is not defined" in str(result.error).replace("'", "")


def test_stored_values_are_merged_deeply_and_reach_later_tasks(flow: Flow) -> None:
    text = """
+a: {py>: job.Counter, name: one}
+g:
  +b: {py>: job.Counter, name: two}
+c: {echo>: "${all} ${one}"}
"""
    result = flow(text)
    assert _echoed(result) == ['{"one":1,"two":1} 1']
    assert result.store == {"one": 1, "two": 1, "all": {"one": 1, "two": 1}}


def test_a_group_export_wins_over_what_was_stored_before_the_group(flow: Flow) -> None:
    text = "+a: {py>: job.keep, value: stored}\n+g: {_export: {kept: exported}, +b: {echo>: '${kept}'}}\n"
    assert _echoed(flow(text)) == ["exported"]


def test_parallel_tasks_do_not_see_each_others_values_but_what_follows_does(flow: Flow) -> None:
    text = """
+g:
  _parallel: true
  +a: {py>: job.Counter, name: one}
  +b: {py>: job.Counter, name: two, also: "${typeof one}"}
+c: {echo>: "${all}"}
"""
    result = flow(text)
    assert result.status == "success"
    assert _echoed(result) == ['{"one":1,"two":1}']


@pytest.mark.parametrize("parallel", ["true", "'true'", "{limit: 3}"])
def test_tasks_side_by_side_run_even_when_one_of_them_fails(flow: Flow, parallel: str) -> None:
    result = flow(f"+g:\n  _parallel: {parallel}\n  +a: {{fail>: no}}\n  +b: {{echo>: b}}\n  +c: {{echo>: c}}\n")
    assert [state for _, state in result.tasks] == ["group_error", "group_error", "error", "success", "success"]


def test_a_limit_of_parallel_tasks_works_in_waves(flow: Flow) -> None:
    text = """
+g:
  _parallel: {limit: 2}
  +a: {py>: job.Counter, name: one}
  +b: {fail>: no}
  +c: {echo>: never}
"""
    result = flow(text)
    assert {name: state for name, state in result.tasks if name.startswith("+flow+g+")} == {
        "+flow+g+a": "success",
        "+flow+g+b": "error",
        "+flow+g+c": "blocked",
    }


@pytest.mark.parametrize(
    ("retry", "waits", "status"),
    [
        ("2", [0, 0], "success"),
        ("'2'", [0, 0], "success"),
        ("1", [0], "error"),
        ("{limit: 2, interval: 10}", [10, 10], "success"),
        ("{limit: 2, interval: 10, interval_type: exponential}", [10, 20], "success"),
        ("{limit: 2, interval: 10, max_interval: 15, interval_type: exponential}", [10, 15], "success"),
        ("{limit: 2, interval: 20, max_interval: 15}", [20, 20], "success"),
    ],
)
@pytest.mark.parametrize("at", ["task", "group"])
def test_a_retry_repeats_a_task_or_a_whole_group(
    flow: Flow, retry: str, waits: list[int], status: str, at: str
) -> None:
    places = {"task": ("", f", _retry: {retry}"), "group": (f"_retry: {retry}, ", "")}
    group, task = places[at]
    waited: list[float] = []
    text = f"+g: {{{group}+t: {{py>: job.Counter, name: n, fail_times: 2{task}}}}}\n+after: {{echo>: '${{n}}'}}\n"
    result = flow(text, sleep=waited.append)
    assert (result.status, waited) == (status, waits)
    assert result.state("+after") == {"success": "success", "error": "blocked"}[status]


@pytest.mark.parametrize(
    "retry", ["true", "{interval: 1}", "{limit: 1, interval_type: random}", "{limit: 1, jitter: 1}"]
)
def test_a_retry_that_makes_no_sense_fails_the_task(flow: Flow, retry: str) -> None:
    assert flow(f"+a: {{py>: job.keep, value: 1, _retry: {retry}}}\n").state("+a") == "error"


def test_a_template_that_fails_is_not_retried_by_its_own_task(flow: Flow) -> None:
    waited: list[float] = []
    assert flow("+a: {py>: job.keep, value: '${absent}', _retry: 3}\n", sleep=waited.append).status == "error"
    assert waited == []


def test_an_error_task_runs_once_after_the_retries_with_message_and_traceback(flow: Flow) -> None:
    text = "+a: {py>: job.Counter, name: n, fail_times: 9, _retry: 1, _error: {echo>: 'E<${error.message}>'}}\n"
    result = flow(text)
    assert result.log.count("\nE<") == 1
    message = result.log[result.log.index("\nE<") :]
    assert message.startswith(
        "\nE<Python command failed with code 1\nError messages from python: try 2 (ValueError)\n\tfrom "
    )
    assert "job.py" in message
    assert "ValueError: try 2\n (runtime)>" in message
    assert (result.state("+a"), result.state("+a^error")) == ("error", "success")


def test_the_error_task_of_a_group_knows_the_message_and_what_was_stored(flow: Flow) -> None:
    text = "_error: {echo>: '${error.message} after ${kept}'}\n+a: {py>: job.keep, value: 7}\n+b: {fail>: no}\n"
    result = flow(text)
    assert "no after 7" in _echoed(result)
    assert result.state("+flow") == "group_error"


def test_a_check_runs_after_success_and_fails_the_task(flow: Flow) -> None:
    text = "+a: {py>: job.keep, value: 1, _check: {fail>: 'kept ${kept}'}}\n+b: {echo>: never}\n"
    result = flow(text)
    assert result.error == "  * +flow+a^check:\n    kept 1"
    assert (result.state("+a"), result.state("+b")) == ("group_error", "blocked")


def test_error_and_check_tasks_are_not_evaluated_before_they_run(flow: Flow) -> None:
    assert flow("+a: {echo>: a, _error: {echo>: '${no}'}, _check: {echo>: '${kept}'}}\n").state("+a^check") == "error"


@pytest.mark.parametrize(
    ("condition", "echoed"),
    [
        ("true", ["yes"]),
        ("'false'", ["no"]),
        ("${1 == 1}", ["yes"]),
        ("${1 > 1}", ["no"]),
        ("''", ["no"]),
    ],
)
def test_if_runs_one_of_its_branches(flow: Flow, condition: str, echoed: list[str]) -> None:
    assert echoed == _echoed(
        flow(f"+a:\n  if>: {condition}\n  _do: {{echo>: yes}}\n  _else_do: {{+b: {{echo>: no}}}}\n")
    )


def test_if_with_something_else_than_a_truth_fails(flow: Flow) -> None:
    assert flow("+a: {if>: maybe, _do: {echo>: yes}}\n").state("+a") == "error"


def test_for_range_hands_out_slices(flow: Flow) -> None:
    text = (
        "+a:\n  for_range>: {from: 0, to: 5, slices: 2}\n  _do: {echo>: '${range.index}: ${range.from}-${range.to}'}\n"
    )
    result = flow(text)
    assert _echoed(result) == ["0: 0-3", "1: 3-5"]
    assert result.state("^sub+range-from=3&to=5") == "success"


@pytest.mark.parametrize(
    ("command", "state"),
    [
        ("{from: 0, to: 0, slices: 2}", "success"),
        ("{from: 0, to: 5, step: 0}", "error"),
        ("{from: 0, to: 5, slices: -1}", "error"),
        ("{from: 0, to: 5}", "error"),
    ],
)
def test_a_range_may_be_empty_but_not_without_measure(flow: Flow, command: str, state: str) -> None:
    assert state == flow(f"+a: {{for_range>: {command}, _do: {{echo>: a}}}}\n").state("+a")


def test_an_error_task_sees_whatever_was_stored_before(flow: Flow) -> None:
    text = "_error: {echo>: '${_odd} ${error.message}'}\n+a: {py>: job.Counter, name: _odd}\n+b: {fail>: no}\n"
    assert "1 no" in _echoed(flow(text))


def test_more_than_a_thousand_tasks_are_too_many(flow: Flow) -> None:
    assert "Too many tasks" in str(flow("+a: {for_range>: {from: 0, to: 999, step: 1}, _do: {echo>: a}}\n").error)
