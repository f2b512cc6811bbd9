"""Converts unexpected exceptions to ExportError: to what the machine lacks, or to a bug and its place."""

import errno
import tempfile
import traceback
from pathlib import Path

from td_pinterest_op.errors import ExportError, UnexpectedError, WorkflowError

# What is wrong with the folder of temporary files, and what to do, by errno.
_FOLDER_LACKS = {
    errno.ENOSPC: ("the disk is full", "make room there"),
    errno.EDQUOT: ("the disk quota is used up", "make room there"),
    errno.EFBIG: ("the system does not allow files as large as this one", "raise `ulimit -f`"),
    errno.EIO: ("the temporary file cannot be read or is incomplete", "check that the disk has space and no errors"),
    errno.EROFS: ("the folder of temporary files is read-only", "make it writable"),
    errno.EACCES: ("the system does not permit writing to the folder of temporary files", "permit it"),
}
_PROCESS_LACKS = {
    errno.EMFILE: "the process has too many files open: raise `ulimit -n`",
    errno.ENFILE: "the machine has too many files open: run this task again when the machine is less busy",
}


def to_export_error(error: Exception) -> ExportError:
    """Return an ExportError unchanged, or one in place of any other error, whose text could quote a row."""
    if isinstance(error, ExportError):
        return error
    if shortage := _describe_shortage(error):
        return WorkflowError(shortage)
    places = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(places[-1].filename).name}:{places[-1].lineno}, in {places[-1].name}" if places else ""
    why = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
    return UnexpectedError(
        f"{type(error).__name__}{why}{place}: a bug in td_pinterest_op; please report it with this line"
    )


def _describe_shortage(error: Exception) -> str | None:
    """Return what the machine lacks, such as memory, and what to do, or None for any other error."""
    if isinstance(error, RuntimeError) and "start new thread" in str(error):
        return (
            "the system refused to start another thread: "
            "raise the limit of processes (`ulimit -u`, or the container's), or set max_in_flight: 1"
        )
    if isinstance(error, MemoryError):
        return "out of memory: give the machine or container more memory"
    if not isinstance(error, OSError):
        return None
    try:
        folder = tempfile.gettempdir()
    except OSError:
        return (
            "no folder for temporary files is writable: set the environment variable TMPDIR to a writable folder; the "
            "operator needs 32 bytes there for each identifier"
        )
    if error.errno not in _FOLDER_LACKS:
        return _PROCESS_LACKS.get(error.errno or 0)
    what, remedy = _FOLDER_LACKS[error.errno]
    needs = f"the operator needs 32 bytes for each identifier in {folder}"
    return f"{what}: {needs}; {remedy}, or set the environment variable TMPDIR to another folder"
