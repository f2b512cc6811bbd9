"""`python -m tests.dig run|check …`, with the options of `digdag run` that our scripts use."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import DigError, read, run
from .config import Params, load, merge
from .secrets import LocalSecrets
from .workflow import check_project


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"KEY=VALUE is wanted, not {name}")
    return name, value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.dig", allow_abbrev=False)
    parser.add_argument("command", choices=("run", "check"), help="check reads the workflow and evaluates nothing")
    parser.add_argument("workflow", help="a .dig file in the project folder")
    parser.add_argument("--project", type=Path, default=Path(), help="the project folder (default: this one)")
    parser.add_argument("-t", "--session", help="yyyy-MM-dd[ HH:mm:ss] (default: this day)")
    parser.add_argument("-p", "--param", type=_pair, action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("-P", "--params-file", type=Path, metavar="PATH.yml")
    parser.add_argument("-X", type=_pair, action="append", default=[], metavar="secrets.KEY=VALUE", dest="secrets")
    parser.add_argument("-a", "--rerun", "--no-save", action="store_true", help="always so here: no state is kept")
    return parser


def _params(file: Path | None, pairs: Sequence[tuple[str, str]]) -> Params:
    params = load(file) if file else {}
    for name, value in pairs:
        given: Any = value
        for part in reversed(name.split(".")):
            given = {part: given}
        merge(params, given)
    return params


def _secrets(pairs: Sequence[tuple[str, str]]) -> Mapping[str, str]:
    """Those given, over what `digdag secrets --local` keeps where DIGDAG_CONFIG_HOME says."""
    secrets = {}
    for name, value in pairs:
        if not name.startswith("secrets."):
            raise DigError(f"-X takes secrets.NAME=VALUE, not {name}")
        secrets[name.removeprefix("secrets.")] = value
    home = os.environ.get("DIGDAG_CONFIG_HOME")
    return LocalSecrets(Path(home), secrets) if home else secrets


def _run(options: argparse.Namespace) -> int:
    name, project = options.workflow, options.project.absolute()
    workflow = project / (name if name.endswith(".dig") else f"{name}.dig")
    if workflow.parent.resolve() != project.resolve():
        raise DigError(f"{name}: only a .dig file in the project folder itself is a workflow; set --project")
    check_project(project)
    if options.command == "check":
        read(workflow)
        return 0
    result = run(
        workflow,
        params=_params(options.params_file, options.param),
        secrets=_secrets(options.secrets),
        session_time=options.session,
        log=lambda text: print(text, end="", flush=True),
        limit=None,
    )
    print("Success." if result.error is None else f"\n{result.error}\n", file=sys.stderr)
    # So digdag does, even when a group succeeded at its second try.
    return 0 if result.error is None else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 1 when the workflow cannot be read or a task failed, 2 for a wrong command."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except DigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
