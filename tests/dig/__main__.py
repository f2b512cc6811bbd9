"""`python -m tests.dig run …`, with the options of `digdag run` that our scripts use."""

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import DigError, run
from .config import Params, merge
from .operators import Start, start_process


def _parse_pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"KEY=VALUE expected, not {name}")
    return name, value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.dig", allow_abbrev=False)
    parser.add_argument("command", choices=("run",))
    parser.add_argument("workflow", help="a .dig file in the project folder")
    parser.add_argument("--project", type=Path, default=Path(), help="the project folder (default: this one)")
    parser.add_argument("-t", "--session", help="yyyy-MM-dd[ HH:mm:ss] (default: this day)")
    parser.add_argument("-p", "--param", type=_parse_pair, action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument(
        "-X", type=_parse_pair, action="append", default=[], metavar="secrets.KEY=VALUE", dest="secrets"
    )
    parser.add_argument("-a", "--rerun", "--no-save", action="store_true", help="always so here: no state is kept")
    return parser


class LocalSecrets(Mapping[str, str]):
    """The secrets of `digdag run`, read at each look-up.

    `overrides`, as by `-X`, win over the files of `digdag secrets --local`; `config` is DIGDAG_CONFIG_HOME.
    """

    def __init__(self, config: Path, overrides: Mapping[str, str]) -> None:
        self._folder = config / "secrets"
        self._overrides = overrides

    def __getitem__(self, name: str) -> str:
        if name in self._overrides:
            return self._overrides[name]
        try:
            return (self._folder / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        return iter({*self._overrides, *(file.name for file in self._folder.glob("[!.]*"))})

    def __len__(self) -> int:
        return len(set(self))


def _params(pairs: Sequence[tuple[str, str]]) -> Params:
    params: Params = {}
    for name, value in pairs:
        nested: Any = value
        for part in reversed(name.split(".")):
            nested = {part: nested}
        merge(params, nested)
    return params


def _secrets(pairs: Sequence[tuple[str, str]]) -> Mapping[str, str]:
    """Return the secrets of the options, over those of `digdag secrets --local` in DIGDAG_CONFIG_HOME."""
    secrets = {}
    for name, value in pairs:
        if not name.startswith("secrets."):
            raise DigError(f"-X takes secrets.NAME=VALUE, not {name}")
        secrets[name.removeprefix("secrets.")] = value
    home = os.environ.get("DIGDAG_CONFIG_HOME")
    return LocalSecrets(Path(home), secrets) if home else secrets


def _run(options: argparse.Namespace, start: Start) -> int:
    name = options.workflow
    project = options.project.absolute()
    workflow = project / (name if name.endswith(".dig") else f"{name}.dig")
    if workflow.parent.resolve() != project.resolve():
        raise DigError(f"{name}: only a .dig file in the project folder itself is a workflow; set --project")
    result = run(
        workflow,
        params=_params(options.param),
        secrets=_secrets(options.secrets),
        session_time=options.session,
        log=lambda text: print(text, end="", flush=True),
        start=start,
        limit=None,
    )
    print("Success." if result.error is None else f"\n{result.error}\n", file=sys.stderr)
    # As digdag does, even when a group succeeded at its second attempt.
    return 0 if result.error is None else 1


def main(arguments: Sequence[str] | None = None, *, start: Start = start_process) -> int:
    """Run the command; the exit code is 1 when the workflow cannot be read or a task failed, 2 for a wrong command.

    `start` starts a `py>` child.
    """
    options = _parser().parse_args(arguments)
    try:
        return _run(options, start)
    except DigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
