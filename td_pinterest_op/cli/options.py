"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

_F = TypeVar("_F", bound=Callable[..., Any])

FILE = click.Path(path_type=Path, dir_okay=False)

env_file = click.option(
    "--env-file",
    type=FILE,
    help="A file of NAME=VALUE lines with credentials "
    "that are neither in the environment nor in the local digdag secrets.",
)
ad_account = click.option("--ad-account", metavar="ID", help="The ad account.  [default: PINTEREST_AD_ACCOUNT_ID]")
audience = click.option("--audience", metavar="ID", help="The audience.  [default: PINTEREST_AUDIENCE_ID]")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
quiet = click.option("--quiet", is_flag=True, help="Print the result alone, without notes about the work.")
yes = click.option("--yes", is_flag=True, help="Do not ask before the first write.")
name_filter = click.option("--name", "name", metavar="TEXT", help="Only those whose name contains this, in any case.")


def all_of(*options: Callable[[_F], _F]) -> Callable[[_F], _F]:
    """Several options at once, in this order in --help."""

    def decorate(function: _F) -> _F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate
