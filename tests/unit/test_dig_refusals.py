"""What tests.dig does not know it refuses, naming file and task, before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.dig import DigError, RefusedError, run
from tests.dig.engine import OPERATORS
from tests.dig.workflow import OPTIONS


def _log_of(folder: Path, text: str) -> str:
    (folder / "flow.dig").write_text(text)
    return run(folder / "flow.dig").log


@pytest.mark.parametrize(
    ("task", "complaint"),
    [
        ("{sh>: ls}", "operator 'sh>' is not known"),
        ("{require>: other}", "operator 'require>' is not known"),
        ("{echo>: a, shout: true}", "echo> has no option shout"),
        ("{echo>: a, _retry: 1}", "echo> has no option _retry"),
        ("{echo>: a, _env: {A: b}}", "echo> has no option _env"),
        ("{td>: {data: select 1}, preview: true}", "td> has no option preview"),
        ("{td_ddl>: , swap_tables: []}", "td_ddl> has no option swap_tables"),
        ("{py>: a.b, _background: true}", "py> has no option _background"),
        ("{py>: a.b, _secrets: {a: true}}", "py> has no option _secrets"),
        ("{+u: {echo>: a}, _after: [+x]}", "contains invalid keys: _after"),
        ("{+u: {echo>: a}, sla: {time: '12:00'}}", "contains invalid keys: sla"),
        ("{+u: {echo>: a}, stray: 1}", "contains invalid keys: stray"),
        ("{if>: true, _do: {sh>: ls}}", "operator 'sh>' is not known"),
        ("{echo>: a, _error: {+e: {sh>: ls}}}", "operator 'sh>' is not known"),
        ("{echo>: a, _check: {echo>: b, wrong: 1}}", "echo> has no option wrong"),
    ],
)
def test_an_unknown_thing_is_refused_by_name(tmp_path: Path, task: str, complaint: str) -> None:
    with pytest.raises(RefusedError) as raised:
        _log_of(tmp_path, f"+first: {{echo>: ran}}\n+bad: {task}\n")
    assert complaint in str(raised.value)
    assert "flow.dig: +flow+bad" in str(raised.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("+a: {echo>: a, fail>: b}", "A task can't have more than one operator"),
        ("+a: {echo>: a, +b: {echo>: b}}", "A task can't have subtasks"),
        ("+a: 1", "must be an object"),
        ("+a:", "must be an object"),
        ("'+a b': {echo>: a}", "no task name"),
        ("+a^b: {echo>: a}", "must not contain ^"),
        ("echo>: a", "includes unknown keys: ['echo>']"),
        ("sla: {time: '12:00'}\n+a: {echo>: a}", "includes unknown keys: ['sla']"),
        ("timezone: Mars/Olympus\n+a: {echo>: a}", "Unknown time zone"),
        ("+a: {_parallel: 3, +b: {echo>: a}}", "Invalid _parallel format: 3"),
        ("+a: {_parallel: {}, +b: {echo>: a}}", "Parameter 'limit' is required"),
    ],
)
def test_what_digdag_calls_wrong_is_an_error(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(DigError) as raised:
        _log_of(tmp_path, text + "\n")
    assert complaint in str(raised.value)


def test_schedule_and_timezone_are_accepted_at_the_top(tmp_path: Path) -> None:
    text = "timezone: Asia/Tokyo\nschedule: {daily>: '07:00:00'}\n+a: {echo>: '${session_tz_offset}'}\n"
    assert "+0900\n" in _log_of(tmp_path, text)


def test_docker_is_a_parameter_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "flow.dig").write_text("+a: {py>: os.getcwd, docker: {image: 'x:1'}}\n")
    assert run(tmp_path / "flow.dig").status == "success"


def test_every_operator_that_runs_has_its_options_named() -> None:
    assert set(OPTIONS) == set(OPERATORS)
