"""A text file that an option names."""

from __future__ import annotations

from pathlib import Path

from td_pinterest_op.errors import SettingsError


def read(path: Path, option: str) -> str:
    """The text of the file. Raises SettingsError for a file that cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the file {path} of {option} cannot be read: {why(error)}") from None


def why(error: OSError | UnicodeDecodeError) -> str:
    """Why a text file cannot be used, without a word of what stands in it."""
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else "it is not UTF-8 text"
