"""Text for one line of a log or a message: names from outside, counts, and nothing that digdag would fill in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from td_pinterest_op.redaction.secret import mask

_T = TypeVar("_T")


def break_templates(value: _T) -> _T:
    """`value` (plain JSON types) with `$ {` for `${`, in every text and key: digdag fills in `${…}`, secrets included.

    Source: digdag-core, agent/ConfigEvalEngine.java: each task evaluates all its parameters, also what others stored
    and `error.message`; digdag-plugin-utils, UserSecretTemplate.java: `http>` then looks for secrets in the outcome.
    """
    return cast(_T, _without(value))


def _without(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("${", "$ {")
    if isinstance(value, Mapping):
        return {_without(key): _without(entry) for key, entry in value.items()}
    return [_without(entry) for entry in value] if isinstance(value, (list, tuple)) else value


def escape(text: str) -> str:
    """`text` with its control characters escaped, so that a name forges no line of the log, nor a template."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return break_templates(text)


def sanitize(text: str, *, longest: int = 80) -> str:
    """`text` masked, on one line, control characters escaped, at most `longest` characters and an ellipsis.

    Masking comes before cutting, since half of an identifier would not be recognised.
    """
    line = escape(mask(text))
    return line if len(line) <= longest else f"{line[:longest]}…"


def format_count(number: int, noun: str, plural: str = "") -> str:
    """`number` with its noun in the singular or the plural: "1 record", "2,000 records"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def format_label(noun: str, identity: str, name: str) -> str:
    """A thing of Pinterest as messages name it: `audience 12 "Shoppers"`, with what could forge a line escaped."""
    return f'{noun} {identity} "{escape(name)}"'
