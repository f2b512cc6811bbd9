"""Files that are replaced at once, as a whole, and results that may also go to a pipe."""

import errno
import os
import secrets
from pathlib import Path

from td_pinterest_op.runtime.private_file import MOST_LINKS, belongs_to_user_or_root

_PUBLIC_FILE_MODE = 0o666  # less the process's umask


def replace_file(file: Path, text: str, *, mode: int = 0o600) -> None:
    """Replace a file's text atomically: at any moment the file contains either the old or the new text.

    A link stays, and the file to which it leads is replaced, unless another user made the link: such a user would
    choose the file that is written. A named pipe is replaced as well: nobody may read from it. `mode`: the permissions.
    Raises OSError, also for a device, and UnicodeEncodeError for a lone surrogate.
    """
    data = text.encode()
    file = _follow_links(file)
    if file.is_char_device() or file.is_block_device():
        raise OSError(errno.EINVAL, "it is a device, which keeps nothing", str(file))
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


def write_result(file: Path, text: str) -> None:
    """Write a result that others may read: in place of a file, or to a pipe or a device.

    Raises OSError, also for a named pipe that nobody reads, and UnicodeEncodeError for a lone surrogate.
    """
    # The target of a name like /dev/stdout may have no name of its own.
    if not file.exists() or file.is_file() or file.is_dir():
        replace_file(file, text, mode=_PUBLIC_FILE_MODE)
        return
    # Opening a pipe that nobody reads would wait without end.
    descriptor = os.open(file, os.O_WRONLY | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(text.encode())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from None


def _follow_links(file: Path) -> Path:
    """Return the file to which a link leads, or `file` itself. Raises OSError, also for a link of another user."""
    for _ in range(MOST_LINKS):
        if not file.is_symlink():
            return file
        if not belongs_to_user_or_root(file.lstat()):
            raise PermissionError(errno.EPERM, "it is a link that another user made", str(file))
        file = file.parent / file.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(file))
