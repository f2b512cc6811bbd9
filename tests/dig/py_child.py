"""Runs inside the child process of a `py>` task: `python runner.py METHOD INPUT OUTPUT`.

digdag writes a runner of its own next to input.json; this one keeps the same contract. It imports nothing outside the
standard library and runs on any Python 3, as the interpreter is the workflow's choice.
"""

import importlib
import json
import os
import sys
import traceback
import types
from typing import Any


class Env:
    """`digdag.env`."""

    def __init__(self, params: dict[str, Any]) -> None:
        self.params = params
        self.store_params: dict[str, Any] = {}
        self.export_params: dict[str, Any] = {}
        self.subtask_config: dict[str, Any] = {}

    def store(self, params: dict[str, Any] = {}, **named: Any) -> None:  # noqa: B006
        self.store_params.update(params, **named)

    def export(self, params: dict[str, Any] = {}, **named: Any) -> None:  # noqa: B006
        self.export_params.update(params, **named)

    def add_subtask(self, function: dict[str, Any], **params: Any) -> None:
        # Of digdag's two forms, the one without a function: a task as in a .dig file.
        self.subtask_config["+subtask%d" % len(self.subtask_config)] = dict(function, **params)  # noqa: UP031


def call(command: str) -> None:
    """Call the method that `command` names, or `run`: `package.module.Class.method` or `package.module.Class`."""
    path, _, last = command.rpartition(".")
    method = last if path.rpartition(".")[2][:1].isupper() else "run"
    module_name, _, class_name = (path if method == last else command).rpartition(".")
    getattr(getattr(importlib.import_module(module_name), class_name)(), method)()


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
        call(command)
    except Exception as error:
        raised, message = error, str(error)
    out: dict[str, Any] = {
        "subtask_config": env.subtask_config,
        "export_params": env.export_params,
        "store_params": env.store_params,
    }
    if raised is not None:
        trace = traceback.format_exception(type(raised), raised, raised.__traceback__)
        out["error"] = {"class": type(raised).__name__, "message": message, "backtrace": trace}
    with open(out_file, "w") as file:  # noqa: PTH123
        json.dump(out, file)
    if raised is not None:
        raise raised


if __name__ == "__main__":
    main(*sys.argv[1:4])
