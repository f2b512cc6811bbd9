"""Generates the same rows every time in constant memory: one of 100 is invalid, one of 50 is repeated."""

import contextlib
import gzip
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_BLOCK = 10_000
_NAMES = ("anna", "bela.horvath", "chloe", "d.okafor", "emil_larsen", "farah", "goro.tanaka", "h", "ines.costa", "jo")
_DOMAINS = ("shop.example", "mail.shop.example", "post.example", "a-rather-long-company-name.example")
# This one of every hundred rows is invalid, for varying reasons.
_INVALID = 37
_INVALID_VALUES = (b"no address", b"two@at@shop.example", b"@shop.example", b"someone@shop", b"a b@shop.example")
# This one of every fifty rows repeats an earlier person.
_REPEATED = 13


@dataclass(frozen=True, kw_only=True)
class Rows:
    """`plain` and `hashed` are job results (msgpack.gz), row by row the same people.

    `keys` is a job result with a device id and a hashed phone number for each e-mail.
    """

    count: int
    plain: Path
    hashed: Path
    keys: Path

    @property
    def unique(self) -> int:
        return count_unique(self.count)


def count_unique(count: int) -> int:
    """Return the number of different valid people in `count` rows, a multiple of 100."""
    return count * 97 // 100


def write_rows(folder: Path, count: int) -> Rows:
    """Write `count` rows, a multiple of 100, to files in `folder`."""
    rows = Rows(
        count=count,
        plain=folder / f"{count}-plain.msgpack.gz",
        hashed=folder / f"{count}-hashed.msgpack.gz",
        keys=folder / f"{count}-keys.msgpack.gz",
    )
    packing: Mapping[Path, Callable[[bytes, bytes], bytes]] = {
        rows.plain: lambda value, _: pack_row(value),
        rows.hashed: lambda value, digest: pack_row(digest or value),
        rows.keys: pack_row_with_keys,
    }
    with contextlib.ExitStack() as stack:
        files = {path: stack.enter_context(gzip.open(path, "wb", compresslevel=1)) for path in packing}
        for start in range(0, count, _BLOCK):
            block = list(generate_people(start, min(start + _BLOCK, count)))
            for path, pack in packing.items():
                files[path].write(b"".join(pack(value, digest) for value, digest in block))
    return rows


def generate_people(start: int, stop: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the values of rows `start` to `stop` with their hex digests, b"" for an invalid one."""
    for row in range(start, stop):
        if row % 100 == _INVALID:
            yield _INVALID_VALUES[row // 100 % len(_INVALID_VALUES)], b""
            continue
        # Every hundredth row is always a new person: these are the people to repeat.
        person = row // 2 // 100 * 100 if row % 50 == _REPEATED else row
        name = _NAMES[person % len(_NAMES)]
        domain = _DOMAINS[person // 10 % len(_DOMAINS)]
        value = f"{name}{person}@{domain}".encode()
        yield value, hashlib.sha256(value).hexdigest().encode()


def opt_out_query(count: int) -> str:
    """Return a SELECT for DuckDB of `count` addresses, half of which are in every second row."""
    return (
        f"SELECT {_sql(_NAMES)}[number % {len(_NAMES)} + 1] || number || '@' || "
        f"{_sql(_DOMAINS)}[number // 10 % {len(_DOMAINS)} + 1] AS email FROM range(0, {2 * count}, 2) t(number)"
    )


def _sql(words: Sequence[str]) -> str:
    return f"[{', '.join(repr(word) for word in words)}]"


def pack_row_with_keys(value: bytes, digest: bytes) -> bytes:
    """Pack a row of three keys in msgpack; an invalid e-mail has no others."""
    if not digest:
        return b"\x93" + format_text(value) + b"\xc0\xc0"
    device = b"-".join((b"5eed" + digest[:4], digest[4:8], digest[8:12], digest[12:16], digest[16:28]))
    return b"\x93" + format_text(value) + format_text(device) + format_text(digest[::-1])


def pack_row(value: bytes) -> bytes:
    """Pack a row of one string in msgpack."""
    return b"\x91" + format_text(value)


def format_text(value: bytes) -> bytes:
    return (bytes([0xA0 | len(value)]) if len(value) < 32 else bytes([0xD9, len(value)])) + value
