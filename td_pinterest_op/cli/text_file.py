"""A text file that an option names."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.settings import text


def read(path: Path, option: str = "") -> str:
    """The text of the file, `-` for standard input. Raises SettingsError for a file that cannot be read."""
    try:
        return sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the file {path}{option and f' of {option}'} cannot be read: {why(error)}") from None


def settings(path: Path) -> dict[str, object]:
    """The `result_settings` of the file of --settings, YAML or JSON. Raises SettingsError."""
    try:
        loaded = text.load(read(path, "--settings"))
    except text.UnreadableTextError as error:
        raise SettingsError(f"the file {path} of --settings {error}") from None
    if isinstance(loaded, Mapping) and isinstance(loaded.get("result_settings"), Mapping):
        loaded = loaded["result_settings"]
    if not isinstance(loaded, Mapping):
        raise SettingsError(f"the file {path} of --settings is no mapping of settings: README lists them")
    return dict(loaded)


def why(error: OSError | UnicodeDecodeError) -> str:
    """Why a text file cannot be used, without a word of what stands in it."""
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else "it is not UTF-8 text"
