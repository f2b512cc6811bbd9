"""Text for one line of a log or a message: counts, names from outside, and no template for digdag."""

from collections.abc import Mapping
from typing import TypeVar, cast

from td_pinterest_op.redaction.secret import mask

_T = TypeVar("_T")


def break_templates(value: _T) -> _T:
    """Return JSON data with `${` changed to `$ {` in all texts, so that digdag fills in no template.

    Source: digdag-core, agent/ConfigEvalEngine.java: each task evaluates all its parameters, also what others stored
    and `error.message`; digdag-plugin-utils, UserSecretTemplate.java: `http>` then looks for secrets in the outcome.
    """
    if isinstance(value, str):
        return cast(_T, value.replace("${", "$ {"))
    if isinstance(value, Mapping):
        return cast(_T, {break_templates(key): break_templates(entry) for key, entry in value.items()})
    return cast(_T, list(map(break_templates, value))) if isinstance(value, (list, tuple)) else value


def escape(text: str) -> str:
    """Return `text` with control characters escaped and `${` changed, so that it forges no log line or template."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return break_templates(text)


def sanitize(text: str, *, longest: int = 80) -> str:
    """Return `text` masked, on one line, with control characters escaped, cut to `longest` characters.

    Masking comes before cutting, since half of an identifier would not be recognised.
    """
    line = escape(mask(text))
    return line if len(line) <= longest else f"{line[:longest]}…"


def format_count(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: "1 record", "2,000 records"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
