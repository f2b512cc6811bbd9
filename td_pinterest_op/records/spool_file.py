"""The private temporary file of a spool."""

from __future__ import annotations

import errno
import hashlib
import secrets
import tempfile


class SpoolFile:
    """Bytes at offsets. Readable by its owner only, without a name as soon as it is open (where the system allows it).

    `encrypted`: for what is no digest, under a key that exists in this process's memory only. It is gone with `close`.
    A full disk or any other failure raises OSError; after that only `close` works.
    """

    def __init__(self, *, encrypted: bool = False) -> None:
        # Unbuffered: segments are large, and an error belongs to the write that caused it, not to a later flush.
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  closed by close()
        self._key = secrets.token_bytes(32) if encrypted else b""
        self._writes: dict[int, int] = {}  # of an encrypted file: which write was the last at each offset
        self._writes_count = 0

    def close(self) -> None:
        """May be called again."""
        self._file.close()

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Raises OSError."""
        if self._key and data:  # of nothing, another write may begin at the same offset
            self._writes_count += 1
            self._writes[offset] = self._writes_count
            data = self._crypted(offset, data)
        self._file.seek(offset)
        left = memoryview(data)
        while left:  # a write may be partial; on a full disk the next one raises
            left = left[self._file.write(left) :]

    def read(self, offset: int, length: int) -> bytes:
        """All of these bytes; of an encrypted file, the first of a write at `offset`. Raises OSError."""
        self._file.seek(offset)
        data = self._file.read(length)
        if len(data) != length:
            raise OSError(errno.EIO, "the spool file is shorter than what was written to it")
        return self._crypted(offset, data) if self._key else data

    def _crypted(self, offset: int, data: bytes | bytearray | memoryview) -> bytes:
        """The data under a keystream of its own; the same call decrypts it."""
        # SHAKE-128 of a secret key and a number that is used once. The standard library has no cipher, and the
        # packages that have one are not pure Python.
        stream = hashlib.shake_128(self._key + self._writes[offset].to_bytes(8, "big")).digest(len(data))
        return (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(data), "big")
