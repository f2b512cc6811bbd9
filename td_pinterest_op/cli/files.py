"""Files that options name: any text, settings of an export, and env files of NAME=VALUE.

An env file means what it means to a shell: quotes, backslashes, comments, `export`, several assignments on a line, `;`
between them; nothing is expanded. Setting a value changes no other character. python-dotenv does neither: it reads one
assignment a line, decodes escapes, and sets a value by writing its whole line.
"""

import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.runtime import atomic_file

_WORD_PIECE_PATTERN = r"""[^ \t\r\n;'"\\] | '[^']*' | "(?:[^"\\]|\\.)*" | \\."""
_SHELL_TOKEN_PATTERN = re.compile(
    rf"[ \t\r\n;]+ | \\\n | \#[^\n]* | (?P<word> (?: {_WORD_PIECE_PATTERN} )+ )", re.VERBOSE | re.DOTALL
)
_ASSIGNMENT_PATTERN = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")


def read_file_or_stdin(path: Path, option: str = "") -> str:
    """Return the text of a file, without a byte order mark, or of standard input for `-`.

    Raises SettingsError, which names the file's `option`, if it cannot be read.
    """
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"the file {path}{option and f' of {option}'} cannot be read: {explain_file_error(error)}"
        ) from None


def read_sql_option(text: str, option: str) -> str:
    """Return an option's SQL. `text`: the SQL, or the name of its file.

    Raises SettingsError, also for a template, and for a blank file: without a query, `--suppress` would withhold
    nobody.
    """
    is_sql = len(text.split()) > 1 and not text.strip().lower().endswith(".sql")
    sql = text if is_sql else read_file_or_stdin(Path(text) if text == "-" else Path.cwd() / text, option)
    if not sql.strip():
        raise SettingsError(f"the file {text} of {option} is blank: write a query into it")
    if "${" in sql:
        raise SettingsError(f"{option} contains a template, which only digdag fills in: write the value itself")
    return sql


def require_path_inside(folder: Path, name: str) -> None:
    """Raise SettingsError if a path leads out of a folder, by a link or by `..`."""
    inner = folder.resolve() / name
    if ".." in inner.parts or not inner.parent.resolve().is_relative_to(folder.resolve()):
        raise SettingsError(
            f"{name} leads out of {folder}, by a link or by `..`: nothing was written. Remove what leads there, or "
            "name another folder"
        )


def explain_file_error(error: OSError | UnicodeDecodeError) -> str:
    """Return why a text file cannot be read or written, without quoting its content."""
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else "it is not UTF-8 text"


def read_env_file(path: Path, option: str) -> dict[str, str]:
    """Return the variables in an option's env file. Raises SettingsError if it cannot be used."""
    if str(path) == "-" or (path.exists() and not path.is_file()):
        raise SettingsError(
            f"{path} of {option} is not a regular file: a refresh token could not be stored in it. Name a file that "
            "only you can read"
        )
    return parse_env_file(read_file_or_stdin(path, option), path)


def parse_env_file(text: str, path: Path) -> dict[str, str]:
    """Return the variables that an env file's text sets. The last value of a name takes effect.

    Raises SettingsError, which names the file, for a line that sets no variable.
    """
    return {
        name: "".join(map(_unquote_shell_text, re.findall(_WORD_PIECE_PATTERN, text[word], re.VERBOSE | re.DOTALL)))
        for name, word in _iterate_value_slices(text, path)
    }


def set_env_values(path: Path, new: Mapping[str, str]) -> None:
    """Set variables in an env file, which is created if it is missing: existing ones in place, new ones at the end.

    Afterwards only its owner can read it. Raises SettingsError if it cannot be written.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig") if path.is_file() else ""
        left = dict(new)
        # From the end: a new value moves none of those before it.
        for name, value in reversed(list(_iterate_value_slices(text, path))):
            if name in new:
                left.pop(name, None)
                text = text[: value.start] + shlex.quote(new[name]) + text[value.stop :]
        # A backslash at the end would join the last line with the next.
        if left and text and (not text.endswith("\n") or text.endswith("\\\n")):
            text += "\n"
        text += "".join(f"{name}={shlex.quote(value)}\n" for name, value in left.items())
        atomic_file.replace_file(path, text)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the file {path} cannot be written: {explain_file_error(error)}") from None


def _iterate_value_slices(text: str, path: Path) -> Iterator[tuple[str, slice]]:
    """Yield the name of each variable that an env file's text sets, and the slice of the text with its value."""
    position = 0
    while position < len(text):
        token = _SHELL_TOKEN_PATTERN.match(text, position)
        assignment = _ASSIGNMENT_PATTERN.match(text, position)
        if token is None or not (assignment or token["word"] in (None, "export")):
            line = text.count("\n", 0, position) + 1
            raise SettingsError(f"line {line} of the file {path} must have the form NAME=VALUE")
        if assignment:
            yield assignment[1], slice(assignment.end(), token.end())
        position = token.end()


def _unquote_shell_text(piece: str) -> str:
    if piece[0] == "'":
        return piece[1:-1]
    # A backslash at a line's end joins two lines. Between double quotes it escapes only these.
    if piece[0] == '"':
        return re.sub(r'\\([$`"\\\n])', lambda match: match[1].strip("\n"), piece[1:-1])
    return piece[-1].strip("\n")
