"""Runs inside the child process of a `py>` task: `python runner.py METHOD INPUT OUTPUT`.

digdag writes a runner of its own beside input.json; this one keeps the same contract. It imports nothing outside the
standard library and runs on any Python 3, as the interpreter is the workflow's choice.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
import traceback
import types
from typing import Any, Callable, Dict, Optional, Tuple  # noqa: UP035 (old interpreters run this file too)

Params = Dict[str, Any]  # noqa: UP006


class Env:
    """`digdag.env`."""

    def __init__(self, params: Params) -> None:
        self.params = params
        self.store_params: Params = {}
        self.export_params: Params = {}
        self.state_params: Params = {}
        self.subtask_config: Params = {}

    def store(self, params: Params = {}, **named: Any) -> None:  # noqa: B006
        self.store_params.update(params, **named)

    def export(self, params: Params = {}, **named: Any) -> None:  # noqa: B006
        self.export_params.update(params, **named)

    def set_state(self, params: Params = {}, **named: Any) -> None:  # noqa: B006
        self.state_params.update(params, **named)

    def add_subtask(self, function: Any = None, **params: Any) -> None:
        if isinstance(function, dict):
            config = {**function, **params}
        elif function is None:
            config = params
        else:
            config = {**params, "py>": f"{function.__module__}.{function.__qualname__}"}
        try:
            json.dumps(config)
        except Exception as error:
            raise TypeError(f"Parameters must be serializable using JSON: {error}") from error
        self.subtask_config[f"+subtask{len(self.subtask_config)}"] = config


def install(env: Env) -> None:
    """Make `import digdag` give the workflow's environment."""
    for name, contents in (("digdag_env", vars(env)), ("digdag", {"env": env})):
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(contents)


def attribute(module_name: str, name: str, shown: str) -> Any:
    module = __import__(module_name, fromlist=[name])
    if not hasattr(module, name):
        raise AttributeError(f"Module '{module_name}' has no attribute '{shown}'")
    return getattr(module, name)


def resolve(command: str) -> Tuple[Any, Optional[str]]:  # noqa: UP006, UP045
    """The callable and, for a class, its method: of `a.b.func`, `a.b.Class` (its `run`), `a.b.Class.method`."""
    head, _, last = command.rpartition(".")
    try:
        target = attribute(head, last, last)
    except ImportError:
        module_name, _, class_name = head.rpartition(".")
        return attribute(module_name, class_name, last), last
    return (target, "run") if type(target) is type else (target, None)


def arguments(function: Callable[..., Any], params: Params, *, bound: bool) -> Params:
    """The parameters that are named like the arguments; all of them for a function that takes `**anything`."""
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


def call(command: str, params: Params) -> None:
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
    install(env)
    # Last: an installed package wins over a module of the project.
    sys.path.append(os.path.abspath(os.getcwd()))  # noqa: PTH100, PTH109
    raised: Any = None
    told = ""
    try:
        call(command, env.params)
    except SystemExit as error:
        code: Any = error.code
        # `%d` is the contract: an exit without a number breaks off here, before any output is written.
        told = "Failed to call python command with code:%d" % code  # noqa: UP031
        told += " Possible cause: Invalid python module call, duplicate module name with standard library"
        raised = error
    except Exception as error:
        raised, told = error, str(error)
    out = {"subtask_config": env.subtask_config, "export_params": env.export_params, "store_params": env.store_params}
    if raised is not None:
        trace = traceback.format_exception(type(raised), raised, raised.__traceback__)
        out["error"] = {"class": type(raised).__name__, "message": told, "backtrace": trace}
    with open(out_file, "w") as file:  # noqa: PTH123
        json.dump(out, file)
    if raised is not None:
        raise Exception(told) if isinstance(raised, SystemExit) else raised


if __name__ == "__main__":
    main(*sys.argv[1:4])
