"""Show what a query engine says about a failed job, without the values that it quotes: they may be a person's."""

import re
from collections.abc import Collection

# The engine's own names, before a database's.
_CATALOG_NAMES = {"td-presto", "td", "hive"}
_SQL_NAME_PATTERN = re.compile(
    r"""'(?:[^']|'')*'|--[^\r\n]*|/\*.*?(?:\*/|\Z)|"([^"\n]*)"|`([^`\n]*)`|([^\W\d][\w$]*)""", re.DOTALL
)
_CLOSING_QUOTES = {"'": "'", '"': '"', "`": "`", "\u2018": "\u2019", "\u201c": "\u201d"}
# Not an apostrophe within a word, such as doesn't.
_OPENING_QUOTE_PATTERN = re.compile(rf"(?<!\w)[{''.join(_CLOSING_QUOTES)}]")
# Values without quotes follow one of these words and a sign, as in "Not a valid base-16 number: 12345".
_UNQUOTED_VALUE_PATTERN = re.compile(
    r"\b(?:(?:cast|convert|parse|parsing|values?|number|input|keys?|zone id|row|string|text|json|digit|character|format"
    r"|pattern|argument|literal|address|record|range|overflow|malformed|protocol|object|element|date|id)\b[^:=(\[{'\"`\n]{0,200}[:=(\[{]"
    r"|cannot convert|cannot cast to [a-z0-9(),]+|input json to [a-z]+$|\bgot)\s*(?!\d{1,4}(?:;|$))([^\s'\"`].*|$)",
    re.IGNORECASE | re.MULTILINE,
)
_WORD_WITH_AT_PATTERN = re.compile(r"(?<!\S)\S*?(?:@|%40)\S*")
_HIDDEN_MARK = "<hidden>"


def find_words_and_quoted_names(query: str) -> set[str]:
    """Return the names in an SQL query, in lower case: its words, and what is in double quotes or backticks."""
    return {name.lower() for match in _SQL_NAME_PATTERN.finditer(query) for name in match.groups() if name}


def hide_values_in_message(text: str, names: Collection[str]) -> str:
    """Return a query engine's message about a job, with `<hidden>` in place of values, and without blank lines.

    What is in quotes is hidden, unless it is one of the query's `names`. A value may contain quotes and line feeds: it
    is hidden up to the last quote of its kind or, without one, up to the end of the text.
    """
    rest = "\n".join(filter(None, map(str.strip, text.splitlines())))
    shown = ""
    while True:
        start = _find_first_quoted_value(rest, names)
        unquoted = _UNQUOTED_VALUE_PATTERN.search(rest)
        if unquoted and unquoted.start(1) < start:
            shown += rest[: unquoted.start(1)] + _HIDDEN_MARK
            break
        if start == len(rest):
            shown += rest
            break
        shown += rest[: start + 1] + _HIDDEN_MARK
        end = rest.rfind(_CLOSING_QUOTES[rest[start]], start + 1)
        if end < 0 or rest[end + 1 : end + 2].isalnum():
            break
        shown += rest[end]
        rest = rest[end + 1 :]
    return _WORD_WITH_AT_PATTERN.sub(_HIDDEN_MARK, shown)


def _find_first_quoted_value(text: str, names: Collection[str]) -> int:
    """Return the position of the first quote that opens a value, not a name or a sign such as `=`, or else the end."""
    position = 0
    while opening := _OPENING_QUOTE_PATTERN.search(text, position):
        end = text.find(_CLOSING_QUOTES[opening[0]], opening.end())
        quoted = text[opening.end() : end].lower()
        is_sign = not any(map(str.isalnum, quoted))
        if end < 0 or not (is_sign or all(part in names or part in _CATALOG_NAMES for part in quoted.split("."))):
            return opening.start()
        position = end + 1
    return len(text)
