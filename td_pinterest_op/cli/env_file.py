"""A file of NAME=VALUE words, read and written as a shell reads them; nothing in it is expanded.

Quotes, backslashes, comments, `export`, several words on a line and `;` between them are a shell's. What is written
changes the values of the names that are set, and leaves every other character as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.private_file import replace

_PIECE = r"""[^ \t\r\n;'"\\] | '[^']*' | "(?:[^"\\]|\\.)*" | \\."""
_WORD = rf"(?: {_PIECE} )+"
_TOKEN = re.compile(rf"[ \t\r\n;]+ | \\\n | \#[^\n]* | (?P<word>{_WORD})", re.VERBOSE | re.DOTALL)
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")
_PLAIN = re.compile(r"[A-Za-z0-9_.+/=:@%,-]+")


def values(text: str, path: Path) -> dict[str, str]:
    """The values by their names, of a name that stands twice the last. Raises SettingsError, which quotes nothing."""
    return {name: _unquoted(text[value]) for name, value in _assignments(text, path)}


def with_values(text: str, path: Path, new: Mapping[str, str]) -> str:
    """`text` in which those names have those values, wherever they stand, at its end if nowhere. Raises as `values`."""
    pieces, end, left = [], 0, dict(new)
    for name, value in _assignments(text, path):
        if name in new:
            left.pop(name, None)
            pieces += [text[end : value.start], _quoted(new[name])]
            end = value.stop
    pieces.append(text[end:])
    if left and text and not text.endswith("\n"):
        pieces.append("\n")
    return "".join([*pieces, *(f"{name}={_quoted(value)}\n" for name, value in left.items())])


def set_values(path: Path, new: Mapping[str, str]) -> None:
    """Write those values into the file, which its owner alone can read afterwards; into a new one if there is none.

    Raises OSError, UnicodeDecodeError, and SettingsError for a file that holds something else.
    """
    text = path.read_bytes().decode() if path.exists() else ""
    replace(path, with_values(text, path, new))


def _assignments(text: str, path: Path) -> Iterator[tuple[str, slice]]:
    """Each name, and where its value stands in the text."""
    position = 0
    while position < len(text):
        token, assignment = _TOKEN.match(text, position), _ASSIGNMENT.match(text, position)
        if token is None or not (assignment or token["word"] in (None, "export")):
            line = text.count("\n", 0, position) + 1
            raise SettingsError(f"line {line} of the file {path} is not NAME=VALUE")
        if assignment:
            yield assignment[1], slice(assignment.end(), token.end())
        position = token.end()


def _unquoted(word: str) -> str:
    return "".join(map(_without_quotes, re.findall(_PIECE, word, re.VERBOSE | re.DOTALL)))


def _without_quotes(piece: str) -> str:
    if piece[0] == "'":
        return piece[1:-1]
    # Between double quotes a backslash is itself, but before one of these; at a line's end it joins two lines.
    escape = re.compile(r'\\([$`"\\\n])' if piece[0] == '"' else r"\\(.)", re.DOTALL)
    return escape.sub(lambda match: match[1].strip("\n"), piece[1:-1] if piece[0] == '"' else piece)


def _quoted(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else "'" + value.replace("'", "'\\''") + "'"
