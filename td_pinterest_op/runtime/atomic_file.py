"""Files that are replaced so that no moment shows half of one."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from pathlib import Path

# A new text is next to the old one for an instant. What has been there for this many seconds was left by a kill.
_LEFT_BEHIND = 60.0
# No name that somebody else would give: what has it is removed.
_SUFFIX = ".td_pinterest_op-new"


def replace(file: Path, text: str, *, mode: int = 0o600) -> None:
    """Write a file that holds the old or the new text at any moment, for its owner alone unless `mode` says otherwise.

    A link stays a link: the file to which it leads is replaced. What is there and no file, such as a pipe, is written
    to. Raises OSError, UnicodeEncodeError.
    """
    data = text.encode()
    # First: what a name like /dev/stdout leads to may have no name of its own.
    if file.exists() and not file.is_file():
        file.write_bytes(data)
        return
    file = file.resolve()
    _tidy(file)
    temporary = file.with_name(f".{file.name}-{secrets.token_hex(4)}{_SUFFIX}")
    try:
        with os.fdopen(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as new:
            new.write(data)
            new.flush()
            os.fsync(new.fileno())
        temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _tidy(file: Path) -> None:
    """Remove what a kill left of earlier replacements, and nothing else."""
    is_ours = re.compile(rf"\.{re.escape(file.name)}-[0-9a-f]{{8}}{re.escape(_SUFFIX)}").fullmatch
    with contextlib.suppress(OSError):
        for other in file.parent.iterdir():
            if is_ours(other.name) and time.time() - other.stat().st_mtime > _LEFT_BEHIND:
                other.unlink()
