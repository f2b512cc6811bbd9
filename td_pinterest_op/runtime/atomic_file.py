"""Atomic file replacement."""

import errno
import os
import secrets
from pathlib import Path

_ROOT_USER_ID = 0  # whose links, such as /dev/stdout, belong to the system


def replace_file(file: Path, text: str, *, mode: int = 0o600) -> None:
    """Replace a file's text atomically: at any moment the file contains either the old or the new text.

    A link is followed, unless another user made it: such a user would choose the file that is written. A pipe or a
    device is written to. `mode`: the permissions. Raises OSError, and UnicodeEncodeError for a lone surrogate.
    """
    data = text.encode()
    if file.is_symlink() and file.lstat().st_uid not in (os.geteuid(), _ROOT_USER_ID):
        raise PermissionError(errno.EPERM, "it is a link that another user made")
    # Before `resolve`: the target of a name like /dev/stdout may have no name of its own.
    if file.exists() and not file.is_file():
        file.write_bytes(data)
        return
    if file.is_symlink():  # else the name itself is replaced, whatever it has become
        file = file.resolve()
    temporary = file.with_name(f".{file.name}-{secrets.token_hex(4)}.td_pinterest_op-new")
    try:
        with os.fdopen(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as new:
            new.write(data)
            new.flush()
            os.fsync(new.fileno())
        temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
