"""`python -m tests.dig run WORKFLOW.dig`, in place of `digdag run --rerun --no-save`."""

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import DigError, run
from .operators import Start, start_process


class LocalSecrets(Mapping[str, str]):
    """The secrets of `digdag secrets --local`, read at each look-up. `config` is DIGDAG_CONFIG_HOME."""

    def __init__(self, config: Path) -> None:
        self._folder = config / "secrets"

    def __getitem__(self, name: str) -> str:
        try:
            return (self._folder / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        return (file.name for file in self._folder.glob("[!.]*"))

    def __len__(self) -> int:
        return len(list(self))


def read_params(options: Sequence[str]) -> dict[str, Any]:
    """Return the parameters of `-p NAME=VALUE`, as text; a dot in a name leads into a mapping. Raises DigError."""
    params: dict[str, Any] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if not name or not equals:
            raise DigError(f"-p {option}: NAME=VALUE is wanted")
        *folders, last = name.split(".")
        inner = params
        for folder in folders:
            inner = inner.setdefault(folder, {})
        inner[last] = value
    return params


def main(arguments: Sequence[str] | None = None, *, start: Start = start_process) -> int:
    """Run a workflow; the exit code is 1 when it cannot be read or a task failed, 2 for a wrong command.

    A failed task counts as with digdag, even when a group succeeded at its second attempt. `start` starts a `py>`
    child.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.dig", allow_abbrev=False)
    parser.add_argument("command", choices=("run",))
    parser.add_argument("workflow", help="a .dig file in the project folder")
    parser.add_argument("--project", type=Path, default=Path(), help="the project folder (default: this one)")
    parser.add_argument("-p", dest="params", action="append", default=[], metavar="NAME=VALUE", help="a parameter")
    options = parser.parse_args(arguments)
    try:
        result = run(
            options.project.absolute() / options.workflow,
            secrets=LocalSecrets(Path(os.environ["DIGDAG_CONFIG_HOME"])),
            params=read_params(options.params),
            log=lambda text: print(text, end="", flush=True),
            start=start,
            limit=None,
        )
    except DigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print("Success." if result.error is None else f"\n{result.error}\n", file=sys.stderr)
    return 0 if result.error is None else 1


if __name__ == "__main__":
    sys.exit(main())
