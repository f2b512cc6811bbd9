"""What the sandbox prints: lines with labels, as wide as the terminal, and a sign of life when nothing else appears."""

import contextlib
import shutil
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Iterator

# Seconds without a line after which one shows the current work: fewer than ten, as every command keeps to.
_LONGEST_SILENCE = 8.0
_NARROWEST = 60
_WIDEST = 140
_INDENT = 12


def width() -> int:
    """Return the width of the lines: the terminal's, within limits, and 100 without one."""
    return max(_NARROWEST, min(shutil.get_terminal_size((100, 24)).columns, _WIDEST))


def labelled(label: str, texts: Iterable[str]) -> list[str]:
    """Return lines with a label before the first; a text that is too long goes on in the next line."""
    lines = [line for text in texts for line in wrapped(text, _INDENT)]
    return [f"  {label if number == 0 else '':10}{line}" for number, line in enumerate(lines)]


def wrapped(text: str, indent: int = 0) -> list[str]:
    """Return the lines of a text with room for an indent before each; ids and paths stay in one piece."""
    return textwrap.wrap(text, width() - indent, break_long_words=False, break_on_hyphens=False)


class Screen:
    """Prints lines. When none was printed for some seconds, it prints how long that is and what is being done."""

    def __init__(self) -> None:
        self._begin = time.monotonic()
        self._printed = threading.Event()
        self._is_open = True
        self._doing: str | Callable[[], str] = "starting"

    def say(self, *lines: str) -> None:
        """Print lines of the story."""
        if lines:
            print("\n".join(lines), flush=True)
            self._printed.set()

    def do(self, doing: str | Callable[[], str]) -> None:
        """Note what is done from now on: text, or what returns it."""
        self._doing = doing

    @contextlib.contextmanager
    def awake(self) -> Iterator[None]:
        """Print signs of life until the end of the block."""
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.close()
            thread.join()

    def close(self) -> None:
        """Print no more signs of life. May be called again."""
        self._is_open = False
        self._printed.set()

    def _watch(self) -> None:
        while self._is_open:
            if self._printed.wait(_LONGEST_SILENCE):
                self._printed.clear()
            else:
                seconds = time.monotonic() - self._begin
                doing = self._doing if isinstance(self._doing, str) else self._doing()
                line = f"  {'running':10}{seconds:.0f} s: {doing}"
                print(line if len(line) <= width() else f"{line[: width() - 1]}…", flush=True)
