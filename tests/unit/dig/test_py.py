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
import abc, json, os, signal, sys
import digdag

def func(x, y="default"):
    print("func", x, y)

class Task:
    def __init__(self, x=None):
        self.x = x
    def run(self, y):
        print("run", self.x, y)
    @staticmethod
    def static(x, y):
        print("static", x, y)
    def keyword_only(self, *, y="unset"):
        print("keyword", y)

def place():
    first = sys.path[0] == os.path.dirname(os.path.abspath(sys.argv[0]))
    print(os.getcwd(), sys.argv[1], first, sys.path[-1] == os.getcwd())

def env(name="SECRET"):
    print(name, os.environ.get(name), digdag.env.params.get("key"))

def fails():
    digdag.env.store({"lost": 1})
    raise ValueError("what")

def leave(code=None):
    sys.exit(json.loads(code) if code else code)

def vanish():
    os._exit(0)

def not_json():
    digdag.env.store({"before": 1, "bad": {1, 2}})

def not_a_number():
    digdag.env.store({"bad": float("nan")})

def hang():
    print("hanging", flush=True)
    signal.pause()

def speak():
    print("out", flush=True)
    print("err", file=sys.stderr, flush=True)

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


@pytest.mark.parametrize(
    ("method", "options", "printed"),
    [
        ("pkg.mod.func", "x: 1", "func 1 default\n"),
        ("pkg.mod.func", "x: {a: [1, '${2}']}, y: 2.5", "func {'a': [1, '2']} 2.5\n"),
        ("pkg.mod.Task", "y: 2", "run None 2\n"),
        ("pkg.mod.Task", "x: 1, y: 2", "run 1 2\n"),
        ("pkg.mod.Task.run", "x: 1, y: '${task_name}'", "run 1 +flow+t\n"),
        ("pkg.mod.Task.static", "x: 1, y: 2, self: 0", "Method 'Task.static'"),
        ("pkg.mod.Task.keyword_only", "y: 2", "keyword unset\n"),
    ],
)
def test_py_passes_arguments_by_name(flow: Flow, method: str, options: str, printed: str) -> None:
    log = flow(method, options).log
    assert printed in log or (method.endswith("static") and "missing 1 required positional argument: 'x'" in log)


def test_subtask_runs_below_the_task_that_added_it(flow: Flow) -> None:
    assert "func +flow+t^sub+subtask0 1\n" in flow("pkg.mod.subtask").log


def test_secrets_are_looked_up_at_the_start_of_each_task(flow: Flow) -> None:
    secrets = {"a": "first"}

    def change(_pid: int) -> None:
        secrets["a"] = "second"

    options = "name: A, _env: {A: '${secret:a}'}"
    log = flow("pkg.mod.env", f"{options}}}\n+u: {{py>: pkg.mod.env, {options}", secrets=secrets, on_spawn=change).log
    assert ["A first None", "A second None"] == [line for line in log.splitlines() if line.startswith("A ")]


@pytest.mark.parametrize(
    ("method", "complaint"),
    [
        ("pkg.mod.func", "Method 'func' requires parameter 'x' but not set (TypeError)"),
        ("pkg.mod.Task", "Method 'Task.run' requires parameter 'y' but not set (TypeError)"),
        ("pkg.mod.absent", "module 'pkg.mod' has no attribute 'absent' (AttributeError)"),
        ("pkg.absent.func", "No module named 'pkg.absent'"),
        ("absent.func", "Empty module name (ValueError)"),
    ],
)
def test_method_that_cannot_be_called_fails_with_digdags_message(flow: Flow, method: str, complaint: str) -> None:
    assert complaint in str(flow(method).error)


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
        ("name: BASE", "BASE from the caller None"),
    ],
)
def test_secrets_are_resolved_in_env_only(flow: Flow, options: str, printed: str) -> None:
    result = flow("pkg.mod.env", options, secrets={"a.b": "hidden"}, environ={**os.environ, "BASE": "from the caller"})
    assert f"{printed}\n" in result.log


@pytest.mark.parametrize(
    ("variable", "message"),
    [
        ("S: '${secret:absent}'", "Secret not found for key: 'absent'"),
        ("S: '${other:a.b}'", "Invalid parametrization: '${other:a.b}'"),
        ("'1S': a", "Invalid _env key name: 1S"),
    ],
)
def test_invalid_variable_fails_the_task(flow: Flow, variable: str, message: str) -> None:
    assert f"  * +flow+t:\n    {message}" == flow("pkg.mod.env", f"_env: {{{variable}}}").error


def test_failure_loses_stored_values_and_shows_class_and_traceback(flow: Flow) -> None:
    result = flow("pkg.mod.fails")
    assert result.store == {}
    assert str(result.error).startswith(
        "  * +flow+t:\n    Python command failed with code 1\n"
        "Error messages from python: what (ValueError)\n\tfrom Traceback"
    )


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("leave", "", "Python command failed with code 1"),
        ("leave", "code: '\"text\"'", "Python command failed with code 1"),
        ("leave", "code: '0'", "Failed to call python command with code:0"),
        ("leave", "code: '3'", "Failed to call python command with code:3"),
        ("vanish", "", "output.json does not exist. Something unexpected error happened. Please check logs."),
        ("not_json", "", "output.json"),
        ("not_a_number", "", "output.json is no JSON"),
    ],
)
def test_child_that_does_not_return_fails_the_task(flow: Flow, method: str, options: str, message: str) -> None:
    result = flow(f"pkg.mod.{method}", options)
    assert message in str(result.error)
    assert result.store == {}


def test_killed_child_has_code_137_and_no_traceback(flow: Flow) -> None:
    children: list[int] = []

    def kill(text: str) -> None:
        if "hanging" in text:
            os.kill(children[0], signal.SIGKILL)

    result = flow("pkg.mod.hang", on_spawn=children.append, log=kill)
    assert result.error == "  * +flow+t:\n    Python command failed with code 137"


def test_stdout_and_stderr_are_streamed_into_the_log(flow: Flow) -> None:
    chunks: list[str] = []
    result = flow("pkg.mod.speak", log=chunks.append)
    assert "out\nerr\n" in result.log
    assert result.log == "".join(chunks)
