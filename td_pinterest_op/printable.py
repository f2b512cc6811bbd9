"""Formats text from outside, and counts, for one line."""

from __future__ import annotations

from td_pinterest_op.secret import escaped, mask

# Masking takes a second for some megabytes: what is far longer than a line is cut before, generously.
_LONGEST_MASKED = 20_000


def printable(text: str, *, longest: int = 80) -> str:
    """`text` masked, on one line, control characters escaped, at most `longest` characters and an ellipsis.

    Masking comes before cutting, since half of an identifier would not be recognised.
    """
    line = escaped(mask(text[:_LONGEST_MASKED]))
    return line if len(line) <= longest else f"{line[:longest]}…"


def counted(number: int, noun: str, plural: str = "") -> str:
    """`number` with its noun in the singular or the plural: "1 record", "2,000 records"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def labelled(noun: str, identity: str, name: str) -> str:
    """A thing of Pinterest as messages name it: `audience 12 "Shoppers"`, with what could forge a line escaped."""
    return f'{noun} {identity} "{escaped(name)}"'
