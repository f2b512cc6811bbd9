"""Check whether another user could read or change a file that holds secrets, or says where secrets are sent."""

import errno
import grp
import os
import pwd
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

ROOT_USER_ID = 0  # root's links, such as /dev/stdout, belong to the system
MOST_LINKS = 40  # as Linux follows


def belongs_to_user_or_root(status: os.stat_result) -> bool:
    """Whether the user who runs this process, or root, owns what has this status."""
    return status.st_uid in (os.geteuid(), ROOT_USER_ID)


def find_exposure(path: Path, *, is_guarded_by_folder: bool = False) -> str:
    """Return how another user could read or change a file, with what to do about it, or "" if none could.

    The user or root must own the file, each folder above it, and each link on the way to it, and only they may write to
    the file and the folders. In a folder such as /tmp, whose entries only their owners rename, others may create files.
    Only the owner may read the file, or, if `is_guarded_by_folder`, enter its folder. Raises OSError for a path that
    leads to nothing.
    """
    file = path
    for entry, status in _iterate_entries(path):
        if not belongs_to_user_or_root(status):
            return f"another user owns {entry}: name a file that is yours, in folders of yours"
        if stat.S_ISLNK(status.st_mode):
            continue
        if _is_writable_by_others(status):
            return f"others can write to {entry}: run `{shlex.join(['chmod', 'go-w', str(entry)])}` first"
        file = entry
    if file.stat().st_mode & 0o077 == 0:
        return ""
    if not is_guarded_by_folder:
        return f"others can read {file}: run `{shlex.join(['chmod', '600', str(file)])}` first"
    if file.parent.stat().st_mode & 0o077 == 0:
        return ""
    return f"others can read {file}: run `{shlex.join(['chmod', '700', str(file.parent)])}` first"


def _is_writable_by_others(status: os.stat_result) -> bool:
    is_shared_safely = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
    if is_shared_safely or not status.st_mode & 0o022:
        return False
    return bool(status.st_mode & stat.S_IWOTH) or not _is_private_group(status.st_gid)


def _is_private_group(group_id: int) -> bool:
    """Whether a group has no member but the user, as the one that most systems make for each user."""
    try:
        group, user = grp.getgrgid(group_id), pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return False
    return group.gr_name == user and set(group.gr_mem) <= {user}


def _iterate_entries(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield each folder, link and file on the way to a path, with its status. Raises OSError."""
    place = Path("/")
    left = list(reversed(path.absolute().parts))
    links = 0
    while left:
        entry = place / left.pop()  # the first part is the root itself
        if entry.name == "..":
            place = place.parent
            continue
        status = entry.lstat()
        yield entry, status
        if not stat.S_ISLNK(status.st_mode):
            place = entry
            continue
        links += 1
        if links > MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        left += reversed(entry.readlink().parts)
