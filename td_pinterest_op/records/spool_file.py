"""The private temporary file of a spool."""

from __future__ import annotations

import errno
import tempfile


class SpoolFile:
    """Bytes at offsets. Readable by its owner only, without a name as soon as it is open (where the system allows it).

    It is gone with `close`. A full disk or any other failure raises OSError; after that only `close` works.
    """

    def __init__(self) -> None:
        # Unbuffered: segments are large, and an error belongs to the write that caused it, not to a later flush.
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  closed by close()

    def close(self) -> None:
        """May be called again."""
        self._file.close()

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Raises OSError."""
        self._file.seek(offset)
        left = memoryview(data)
        while left:  # a write may be partial; on a full disk the next one raises
            left = left[self._file.write(left) :]

    def read(self, offset: int, length: int) -> bytes:
        """All of these bytes. Raises OSError."""
        self._file.seek(offset)
        data = self._file.read(length)
        if len(data) != length:
            raise OSError(errno.EIO, "the spool file is shorter than what was written to it")
        return data
