"""`python -m tests.dig run|check …`, with the options of `digdag run` that our scripts use."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from . import DigError, read, run
from .loader import load
from .params import Params, merge, set_dotted

_SECRETS = "secrets."


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"KEY=VALUE is wanted, not {name}")
    return name, value


def _secret(text: str) -> tuple[str, str]:
    name, value = _pair(text)
    if not name.startswith(_SECRETS):
        raise argparse.ArgumentTypeError(f"only {_SECRETS}NAME=VALUE is known here, not {name}")
    return name[len(_SECRETS) :], value


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m tests.dig {command}", allow_abbrev=False)
    parser.add_argument("workflow", help="a .dig file in the project folder")
    parser.add_argument("--project", type=Path, default=Path(), help="the project folder (default: this one)")
    if command == "run":
        parser.add_argument("task", nargs="?", help="run this one only, as in +export")
        parser.add_argument("-t", "--session", default="last", help="daily, hourly, last or yyyy-MM-dd[ HH:mm:ss]")
        parser.add_argument("-p", "--param", type=_pair, action="append", default=[], metavar="KEY=VALUE")
        parser.add_argument("-P", "--params-file", type=Path, metavar="PATH.yml")
        parser.add_argument(
            "-X", type=_secret, action="append", default=[], metavar="secrets.KEY=VALUE", dest="secrets"
        )
        parser.add_argument("-a", "--rerun", action="store_true", help="always so here: no state is kept")
        parser.add_argument("--no-save", action="store_true", help="always so here")
    return parser


def _params(file: Path | None, pairs: Sequence[tuple[str, str]]) -> Params:
    params: Params = {}
    if file is not None:
        merge(params, load(file))
    for name, value in pairs:
        set_dotted(params, name, value)
    return params


def _local_secrets() -> dict[str, str]:
    """What `digdag secrets --local` keeps, a file each, where DIGDAG_CONFIG_HOME says; not in the home folder."""
    home = os.environ.get("DIGDAG_CONFIG_HOME")
    files = (Path(home) / "secrets").glob("[!.]*") if home else ()
    return {file.name: file.read_text() for file in files}


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _workflow(project: Path, name: str) -> Path:
    path = project / (name if name.endswith(".dig") else f"{name}.dig")
    if path.parent.resolve() != project.resolve():
        raise DigError(f"{name}: only a .dig file in the project folder itself is a workflow; set --project")
    return path


def _run(options: argparse.Namespace, workflow: Path) -> int:
    result = run(
        workflow,
        task=options.task,
        params=_params(options.params_file, options.param),
        secrets=_local_secrets() | dict(options.secrets),
        session_time=options.session,
        log=_print,
    )
    sys.stderr.write("Success.\n" if result.error is None else f"\n{result.error}\n\n")
    return 0 if result.status == "success" else 1


def _check(_options: argparse.Namespace, workflow: Path) -> int:
    found = read(workflow)
    _print(
        f"{found.name}: timezone {found.timezone}, {', '.join(key for key in found.config if key.startswith('+'))}\n"
    )
    return 0


_COMMANDS = {"run": _run, "check": _check}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 1 when the workflow cannot be read or a task failed, 2 for a wrong command."""
    command, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if command not in _COMMANDS:
        sys.stderr.write(f"usage: python -m tests.dig {{{','.join(_COMMANDS)}}} WORKFLOW.dig [+task] [options]\n")
        return 2
    # Intermixed: as with digdag, the task may follow the options.
    options = _parser(command).parse_intermixed_args(rest)
    try:
        return _COMMANDS[command](options, _workflow(options.project.absolute(), options.workflow))
    except DigError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
