"""Options that several commands have, and their values."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from td_pinterest_op.cli import screen

_F = TypeVar("_F", bound=Callable[..., Any])

PATH_TYPE = click.Path(allow_dash=True, path_type=Path)
FILE_TYPE = click.Path(dir_okay=False, path_type=Path)


@dataclass(kw_only=True)
class CommonOptions:
    """The values of options that several commands have."""

    ad_account: str | None = None
    audience: str | None = None
    env_file: Path | None = None
    as_json: bool = False
    quiet: bool = False
    yes: bool = False

    def print_note(self, text: str) -> None:
        """Print a note on standard error, unless --quiet is set."""
        if not self.quiet:
            screen.print_note(text)


class NonBlankCommand(click.Command):
    """A command that accepts no blank option or argument.

    A blank value is most often an unset variable of the shell, such as `--suppress "$OPTOUTS"`. Taken for a missing
    option, it would let people be sent who must not be.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse arguments as click does. Raises click.BadParameter, which names the option, for a blank value."""
        values, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        for parameter in self.get_params(ctx):
            value = values.get(str(parameter.name))
            texts = value if isinstance(value, (list, tuple)) else [value]
            if any(isinstance(text, str) and not text.strip() for text in texts):
                raise click.BadParameter(
                    "it is blank, perhaps because a variable is not set; give a value, or leave it out", ctx, parameter
                )
        return super().parse_args(ctx, args)


def command(examples: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Return a decorator for a command, whose first argument is the CommonOptions. `examples`: the end of its help."""
    pass_common = click.make_pass_decorator(CommonOptions, ensure=True)
    return lambda function: click.command(cls=NonBlankCommand, epilog=examples)(pass_common(function))


def _store_in_context(context: click.Context, option: click.Parameter, value: object) -> None:
    setattr(context.ensure_object(CommonOptions), str(option.name), value)
    if option.name == "quiet" and value:
        logging.getLogger("td_pinterest_op").setLevel(logging.WARNING)


# As `click.option`, but the value is stored in CommonOptions.
_common_option = partial(click.option, expose_value=False, callback=_store_in_context)
env_file = _common_option(
    "--env-file",
    type=FILE_TYPE,
    help="A file of NAME=VALUE lines with credentials "
    "that are in neither the environment nor the local digdag secrets.",
)
ad_account = _common_option("--ad-account", metavar="ID", help="The ad account.  [default: PINTEREST_AD_ACCOUNT_ID]")
audience = _common_option("--audience", metavar="ID", help="The audience.  [default: PINTEREST_AUDIENCE_ID]")
as_json = _common_option("--json", "as_json", is_flag=True, help="Print JSON.")
quiet = _common_option("--quiet", is_flag=True, help="Print only the result, and no notes.")
yes = _common_option("--yes", is_flag=True, help="Do not ask for confirmation.")


def usual_options(function: _F) -> _F:
    """Add --env-file, --json and --quiet."""
    return env_file(as_json(quiet(function)))


name_filter = click.option(
    "--name", "name_part", metavar="TEXT", help="Only those whose name contains TEXT, ignoring case."
)
with_dependencies = click.option(
    "--with-dependencies",
    is_flag=True,
    help="Include every library that the operator imports, in pure Python, for an image that lacks some.",
)
with_phone_numbers = click.option(
    "--with-phone-numbers", is_flag=True, help="Include the library for phone numbers, which a column `phone` needs."
)
