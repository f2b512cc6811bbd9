"""What the sandbox prints: lines with labels, as wide as the terminal."""

import shutil
import textwrap
from collections.abc import Iterable

_NARROWEST = 60
_WIDEST = 140
_INDENT = 12


def say(lines: Iterable[str]) -> None:
    """Print lines at once, also to a file or a pipe."""
    for line in lines:
        print(line, flush=True)


def labelled(label: str, texts: Iterable[str]) -> list[str]:
    """Return lines with a label before the first; a text that is too long goes on in the next line."""
    lines = [line for text in texts for line in wrapped(text, _INDENT)]
    return [f"  {label if number == 0 else '':10}{line}" for number, line in enumerate(lines)]


def wrapped(text: str, indent: int = 0) -> list[str]:
    """Return the lines of a text with room for an indent before each; ids and paths stay in one piece."""
    width = max(_NARROWEST, min(shutil.get_terminal_size((100, 24)).columns, _WIDEST))
    return textwrap.wrap(text, width - indent, break_long_words=False, break_on_hyphens=False)
