"""Runs inside the child process of a `py>` task: `python runner.py METHOD INPUT OUTPUT`.

digdag writes a runner of its own next to input.json; this one keeps the same contract. It imports nothing outside the
standard library and runs on any Python 3, as the interpreter is the workflow's choice.
"""

import inspect
import json
import os
import sys
import traceback
import types
from typing import Any, Callable  # noqa: UP035 (old interpreters run this file too)


class Env:
    """`digdag.env`."""

    def __init__(self, params: dict[str, Any]) -> None:
        self.params = params
        self.store_params: dict[str, Any] = {}
        self.subtask_config: dict[str, Any] = {}

    def store(self, params: dict[str, Any] = {}, **named: Any) -> None:  # noqa: B006
        self.store_params.update(params, **named)

    def add_subtask(self, function: dict[str, Any], **params: Any) -> None:
        # Of digdag's two forms, the one without a function: a task as in a .dig file.
        self.subtask_config["+subtask%d" % len(self.subtask_config)] = dict(function, **params)  # noqa: UP031


def resolve(command: str) -> tuple[Any, str | None]:
    """Return the callable and, for a class, its method: of `a.b.func`, `a.b.Class` (its `run`), `a.b.Class.method`."""
    head, _, last = command.rpartition(".")
    try:
        target = getattr(__import__(head, fromlist=[last]), last)
    except ImportError:
        module_name, _, class_name = head.rpartition(".")
        return getattr(__import__(module_name, fromlist=[class_name]), class_name), last
    return (target, "run") if type(target) is type else (target, None)


def arguments(function: Callable[..., Any], params: dict[str, Any], *, bound: bool) -> dict[str, Any]:
    """Return the parameters named like the arguments, or all for a function with `**anything`."""
    if function is object.__init__:
        return {}
    spec = inspect.getfullargspec(function)
    names = spec.args[1:] if bound else spec.args
    optional = spec.args[len(spec.args) - len(spec.defaults or ()) :]
    for name in names:
        if name not in params and name not in optional:
            called = getattr(function, "__qualname__", None) or function.__name__
            raise TypeError(f"Method '{called}' requires parameter '{name}' but not set")
    return params if spec.varkw else {name: params[name] for name in names if name in params}


def call(command: str, params: dict[str, Any]) -> None:
    target, method_name = resolve(command)
    if method_name is None:
        target(**arguments(target, params, bound=False))
        return
    instance = target(**arguments(target.__init__, params, bound=True))
    method = getattr(instance, method_name)
    method(**arguments(method, params, bound=True))


def main(command: str, in_file: str, out_file: str) -> None:
    with open(in_file) as file:  # noqa: PTH123
        env = Env(json.load(file)["params"])
    sys.modules["digdag"] = types.ModuleType("digdag")
    vars(sys.modules["digdag"])["env"] = env
    # Last: an installed package wins over a module of the project.
    sys.path.append(os.path.abspath(os.getcwd()))  # noqa: PTH100, PTH109
    raised: Any = None
    message = ""
    try:
        call(command, env.params)
    except SystemExit as error:
        code: Any = error.code
        # `%d` is the contract: an exit without a number breaks off here, before any output is written.
        message = "Failed to call python command with code:%d" % code  # noqa: UP031
        raised = error
    except Exception as error:
        raised = error
        message = str(error)
    out: dict[str, Any] = {
        "subtask_config": env.subtask_config,
        "store_params": env.store_params,
    }
    if raised is not None:
        trace = traceback.format_exception(type(raised), raised, raised.__traceback__)
        out["error"] = {"class": type(raised).__name__, "message": message, "backtrace": trace}
    with open(out_file, "w") as file:  # noqa: PTH123
        json.dump(out, file)
    if raised is not None:
        raise Exception(message) if isinstance(raised, SystemExit) else raised


if __name__ == "__main__":
    main(*sys.argv[1:4])
