"""tests.dig refuses what it does not know, with file and task, before anything runs."""

from pathlib import Path
from typing import Any

import pytest

from tests.dig import DigError, RefusedError, run


def _log_of(folder: Path, text: str, **options: Any) -> str:
    (folder / "flow.dig").write_text(text)
    return run(folder / "flow.dig", **options).log


@pytest.mark.parametrize(
    ("task", "complaint"),
    [
        ("{sh>: ls}", "operator 'sh>' is not known"),
        ("{echo>: a, _retry: 1}", "echo> has no option _retry"),
        ("{td>: {data: select 1}, preview: true}", "td> has no option preview"),
        ("{td_ddl>: , rename_tables: []}", "td_ddl> has no option rename_tables"),
        ("{py>: a.b, _workdir: below}", "py> has no option _workdir"),
        ("{py>: a.b, _export: {_workdir: below}}", "py> has no option _export: _workdir"),
        ("{_retry: 1, +u: {_retry: 1, +v: {echo>: a}}}", "not known here inside another's"),
        ("{echo>: a, _error: {_retry: 1, +v: {echo>: a}}}", "not known here inside another's"),
        ("{+u: {echo>: a}, _retry: {limit: 1, jitter: 1}}", "_retry takes a number"),
        ("{+u: {echo>: a}, _parallel: {limit: 0}}", "a limit of at least 1"),
        ("{+u: {echo>: a}, _after: [+x]}", "a group of tasks has no option _after"),
        ("{if>: true, _do: {sh>: ls}}", "operator 'sh>' is not known"),
        ("{echo>: a, _error: {+e: {sh>: ls}}}", "operator 'sh>' is not known"),
        ("{echo>: a, _error: {echo>: b, wrong: 1}}", "echo> has no option wrong"),
    ],
)
def test_unknown_operator_or_option_is_refused_by_name(tmp_path: Path, task: str, complaint: str) -> None:
    with pytest.raises(RefusedError) as raised:
        _log_of(tmp_path, f"+first: {{echo>: ran}}\n+bad: {task}\n")
    assert complaint in str(raised.value)
    assert "flow.dig: +flow+bad" in str(raised.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("+a: {echo>: a, fail>: b}", "A task can't have more than one operator"),
        ("+a: {echo>: a, +b: {echo>: b}}", "A task can't have subtasks"),
        ("+a: [{+b: {echo>: a}}]", "must be an object"),
        ("+a: {if>: true}", "_do is required"),
        ("+a: 1", "must be an object"),
        ("'+a b': {echo>: a}", "a task's name is + and"),
        ("+a^b: {echo>: a}", "a task's name is + and"),
        ("echo>: a", "no operator of its own"),
        ("sla: {time: '12:00'}\n+a: {echo>: a}", "has no option sla"),
        ("timezone: Mars/Olympus\n+a: {echo>: a}", "A session has a time zone"),
        ("+a: {_parallel: 3, +b: {echo>: a}}", "Invalid _parallel format: 3"),
        ("+a: {_parallel: {}, +b: {echo>: a}}", "Parameter 'limit' is required"),
    ],
)
def test_workflow_that_digdag_rejects_is_an_error(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(DigError) as raised:
        _log_of(tmp_path, text + "\n")
    assert complaint in str(raised.value)


@pytest.mark.parametrize(
    "task", ["http>: 'http://example.com/'", "http>: 'http://10.0.0.1/'", "http>: 'file:///etc/x'"]
)
def test_task_never_reaches_another_machine(tmp_path: Path, task: str) -> None:
    assert "this machine only" in _log_of(tmp_path, f"+a: {{{task}}}\n")
