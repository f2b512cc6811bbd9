"""Questions to a user at a terminal, each of which an option may answer."""

from collections.abc import Callable
from typing import TypeVar

import click

from td_pinterest_op.cli import screen
from td_pinterest_op.errors import ExportError, StoppedError

_T = TypeVar("_T")


class Questions:
    """Asks the user questions at the terminal. If `asks` is false, it takes the default answers instead."""

    def __init__(self, *, asks: bool) -> None:
        self._asks = asks
        if asks and not screen.is_interactive():
            raise click.UsageError(
                "there is no terminal to ask questions on: give every answer as an option, and use --yes"
            )

    def get_answer(
        self,
        question: str,
        option_value: str | None,
        parse: Callable[[str], _T],
        *,
        option: str = "",
        default: str | None = None,
    ) -> _T:
        """Return what `parse` makes of the option's value, else of the user's answer, else of the default.

        After a wrong answer at the terminal, the question is asked again. Raises click.UsageError if there is no
        answer, and the errors of `parse` (click.UsageError or ExportError) if the option's value is wrong.
        """
        if option_value is not None or not self._asks:
            if (text := default if option_value is None else option_value) is None:
                raise click.UsageError(f"{question}: give {option}")
            return parse(text.strip())
        while True:
            text = click.prompt(question, default=default, err=True, show_default=bool(default))
            try:
                return parse(text.strip())
            except click.UsageError as error:
                screen.print_note(error.message)
            except StoppedError:
                raise
            except ExportError as error:
                screen.print_note(str(error))

    def ask_yes_no(self, question: str, *, default: bool = False) -> bool:
        """Return the user's answer to a yes-or-no question, or False if no questions are asked."""
        return self._asks and click.confirm(question, default=default, err=True)
