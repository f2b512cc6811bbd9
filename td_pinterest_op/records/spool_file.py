"""The private temporary file of a spool."""

import errno
import hashlib
import secrets
import tempfile


class SpoolFile:
    """A private temporary file, without a name where the system allows that. `close` deletes it.

    `encrypted`: for what is no digest, with a key that exists in this process's memory only. A full disk or any other
    failure raises OSError; after that only `close` works.
    """

    def __init__(self, *, encrypted: bool = False) -> None:
        # Unbuffered: segments are large, and an error belongs to the write that caused it, not to a later flush.
        self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  closed by close()
        self._key = secrets.token_bytes(32) if encrypted else b""
        self._writes: dict[int, int] = {}  # of an encrypted file: the number of the last write at each offset
        self._writes_count = 0

    def close(self) -> None:
        """Delete the file. May be called again."""
        self._file.close()

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write bytes at an offset. Raises OSError."""
        if self._key and data:  # after an empty write, another one begins at the same offset
            self._writes_count += 1
            self._writes[offset] = self._writes_count
            data = self._crypt(offset, data)
        self._file.seek(offset)
        left = memoryview(data)
        while left:  # a write may be partial; on a full disk the next one raises
            left = left[self._file.write(left) :]

    def read(self, offset: int, length: int) -> bytes:
        """Return `length` bytes. An encrypted file can only be read from where a write began. Raises OSError."""
        self._file.seek(offset)
        data = self._file.read(length)
        if len(data) != length:
            raise OSError(errno.EIO, "the temporary file is shorter than the data written to it: run this task again")
        return self._crypt(offset, data) if self._key else data

    def _crypt(self, offset: int, data: bytes | bytearray | memoryview) -> bytes:
        """Encrypt or decrypt data with the keystream of its offset."""
        # SHAKE-128 of a secret key and a number that is used once. The standard library has no cipher, and the
        # packages that have one are not pure Python.
        stream = hashlib.shake_128(self._key + self._writes[offset].to_bytes(8, "big")).digest(len(data))
        return (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(data), "big")
