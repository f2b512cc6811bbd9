"""Generates the same rows every time in constant memory: one of 100 is invalid, one of 50 is repeated."""

import contextlib
import gzip
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgpack

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
    """`files` are job results (msgpack.gz), row by row of the same people, `unique` of whom are valid and different.

    "plain" and "hashed" have an e-mail; "keys" has a device id and a hashed phone number for each e-mail.
    """

    files: dict[str, Path]
    unique: int


def write_rows(folder: Path, count: int) -> Rows:
    """Write `count` rows, a multiple of 100, to files in `folder`."""
    makers: dict[str, Callable[[bytes, bytes], Sequence[bytes | None]]] = {
        "plain": lambda value, _: [value],
        "hashed": lambda value, digest: [digest or value],
        "keys": make_row_with_keys,
    }
    paths = {name: folder / f"{count}-{name}.msgpack.gz" for name in makers}
    pack = msgpack.Packer(use_bin_type=False).pack
    with contextlib.ExitStack() as stack:
        files = {name: stack.enter_context(gzip.open(path, "wb", compresslevel=1)) for name, path in paths.items()}
        for start in range(0, count, _BLOCK):
            block = list(generate_people(start, min(start + _BLOCK, count)))
            for name, make in makers.items():
                files[name].write(b"".join(pack(make(value, digest)) for value, digest in block))
    return Rows(files=paths, unique=count * 97 // 100)


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


def make_row_with_keys(value: bytes, digest: bytes) -> Sequence[bytes | None]:
    """Return a row of three keys; an invalid e-mail has no others."""
    if not digest:
        return [value, None, None]
    device = b"-".join((b"5eed" + digest[:4], digest[4:8], digest[8:12], digest[12:16], digest[16:28]))
    return [value, device, digest[::-1]]


def opt_out_query(count: int) -> str:
    """Return a SELECT for DuckDB of `count` addresses, half of which are in every second row."""
    return (
        f"SELECT {_sql(_NAMES)}[number % {len(_NAMES)} + 1] || number || '@' || "
        f"{_sql(_DOMAINS)}[number // 10 % {len(_DOMAINS)} + 1] AS email FROM range(0, {2 * count}, 2) t(number)"
    )


def _sql(words: Sequence[str]) -> str:
    return f"[{', '.join(repr(word) for word in words)}]"
