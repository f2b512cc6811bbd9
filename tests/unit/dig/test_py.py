"""`py>`: a child process under digdag's contract."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.dig import Result, run

Flow = Callable[..., Result]
_MODULE = """
import os, signal, sys
import digdag

def func(x, y=None):
    print("func", x, y)

def place():
    first = sys.path[0] == os.path.dirname(os.path.abspath(sys.argv[0]))
    print(os.getcwd(), sys.argv[1], first, sys.path[-1] == os.getcwd())

def env(name="SECRET"):
    print(name, os.environ.get(name), digdag.env.params.get("key"))

def fails():
    digdag.env.store({"lost": 1})
    raise ValueError("what")

def hang():
    print("hanging", flush=True)
    signal.pause()

def subtask():
    digdag.env.add_subtask({"py>": "pkg.mod.func", "x": "${task_name}"}, y=1)
"""


@pytest.fixture
def flow(tmp_path: Path) -> Flow:
    """Runs a one-task workflow, `py> pkg.mod.…` with the options given in YAML's flow style."""

    def run_task(method: str, options: str = "", **given: Any) -> Result:
        (tmp_path / "pkg").mkdir(exist_ok=True)
        (tmp_path / "pkg" / "__init__.py").touch()
        (tmp_path / "pkg" / "mod.py").write_text(_MODULE)
        (tmp_path / "flow.dig").write_text(f"+t: {{py>: {method}{options and ', '}{options}}}\n")
        return run(tmp_path / "flow.dig", **given)

    return run_task


def test_subtask_runs_below_the_task_that_added_it(flow: Flow) -> None:
    assert "func +flow+t^sub+subtask0 1\n" in flow("pkg.mod.subtask").log


def test_project_is_the_working_folder_and_last_on_the_path(flow: Flow, tmp_path: Path) -> None:
    assert f"{tmp_path} pkg.mod.place True True\n" in flow("pkg.mod.place").log


def test_parameters_stay_on_disk_next_to_the_runner(flow: Flow, tmp_path: Path) -> None:
    flow("pkg.mod.func", "x: é, _env: {S: '${secret:a.b}'}", secrets={"a.b": "hidden"})
    (folder,) = (tmp_path / ".digdag" / "tmp").glob("digdag-py-*")
    text = (folder / "input.json").read_text(encoding="utf-8")
    params = json.loads(text)["params"]
    assert {"input.json", "runner.py", "output.json"} == {path.name for path in folder.iterdir()}
    assert (params["x"], params["_env"]) == ("é", {"S": "${secret:a.b}"})
    assert "hidden" not in text


@pytest.mark.parametrize(
    ("options", "printed"),
    [
        ("_env: {SECRET: '${secret:a.b}'}", "SECRET hidden None"),
        ("_env: {SECRET: 'x ${secret: a.b } y'}", "SECRET x hidden y None"),
        ("_env: {SECRET: 12}", "SECRET 12 None"),
        ("_env: {SECRET: '${1 + 1}'}", "SECRET 2 None"),
        ("key: '${secret:a.b}'", "SECRET None ${secret:a.b}"),
    ],
)
def test_secrets_are_resolved_in_env_only(flow: Flow, options: str, printed: str) -> None:
    result = flow("pkg.mod.env", options, secrets={"a.b": "hidden"})
    assert f"{printed}\n" in result.log


def test_failure_loses_stored_values_and_shows_class_and_traceback(flow: Flow) -> None:
    result = flow("pkg.mod.fails")
    assert result.store == {}
    assert str(result.error).startswith(
        "  * +flow+t:\n    Python command failed with code 1\n"
        "Error messages from python: what (ValueError)\n\tfrom Traceback"
    )


def test_killed_child_has_code_137_and_no_traceback(flow: Flow) -> None:
    children: list[int] = []

    def kill(text: str) -> None:
        if "hanging" in text:
            os.kill(children[0], signal.SIGKILL)

    result = flow("pkg.mod.hang", on_spawn=children.append, log=kill)
    assert result.error == "  * +flow+t:\n    Python command failed with code 137"
