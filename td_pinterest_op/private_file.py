"""Files that their owner alone may read, replaced so that no moment shows half of one, and a kill leaves nothing."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from pathlib import Path
from typing import BinaryIO

# A new text stands beside the old one for an instant. What stands there for this many seconds was left by a kill.
_LEFT_BEHIND = 60.0


def replace(file: Path, text: str) -> None:
    """Write a file with mode 0600 that holds the old or the new text at any moment. Raises OSError, UnicodeEncodeError.

    A link stays a link: the file to which it leads is replaced.
    """
    file, data = file.resolve(), text.encode()
    _tidy(file)
    beside = file.with_name(f".{file.name}-{secrets.token_hex(4)}")
    try:
        _create(beside, data)
        beside.replace(file)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _tidy(file: Path) -> None:
    with contextlib.suppress(OSError):
        for other in file.parent.iterdir():
            if other.name.startswith(f".{file.name}-") and time.time() - other.stat().st_mtime > _LEFT_BEHIND:
                other.unlink()


def _create(file: Path, data: bytes) -> None:
    """Create the file; where the system can, it has no name before it is whole: a kill leaves nothing."""
    try:
        with os.fdopen(os.open(file.parent, os.O_TMPFILE | os.O_WRONLY, 0o600), "wb") as new:
            _write(new, data)
            os.link(f"/proc/self/fd/{new.fileno()}", file)
    except (AttributeError, OSError):
        with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as new:
            _write(new, data)


def _write(file: BinaryIO, data: bytes) -> None:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())
