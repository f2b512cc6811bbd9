import contextlib
import hashlib
import json
import os
import random
import resource
import stat
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path

import pytest

from td_pinterest_op.records import spool as module
from td_pinterest_op.records.digests import DIGEST_BYTES
from td_pinterest_op.records.prepared import SINGLE_DIGEST_LAYOUT, PreparedRecords
from td_pinterest_op.records.spool import Spool


def digests(count: int, seed: int = 1) -> list[bytes]:
    return [random.Random(f"{seed} {number}").randbytes(DIGEST_BYTES) for number in range(count)]


def test_spool_rejects_what_is_no_digest_before_writing_or_showing_it() -> None:
    with closing(Spool()) as spool, pytest.raises(ValueError, match=r"temporary file must have 32 bytes$"):  # noqa: PT012
        spool.add([b"ann@lee.org"])
        spool.finish()


def finished(values: list[bytes], step: int = 100) -> Spool:
    spool = Spool()
    for start in range(0, len(values), step):
        spool.add(values[start : start + step])
    spool.finish()
    return spool


def prepared(spool: Spool) -> PreparedRecords:
    return PreparedRecords({SINGLE_DIGEST_LAYOUT: spool})


def batches(spool: Spool, size: int) -> Iterator[list[bytes]]:
    """The digests of each batch, from its JSON."""
    for batch in prepared(spool).read_batches(size):
        digests: str = json.loads(b"{%s}" % b"".join(batch.iterate_json_field()))["records"]
        yield [*map(bytes.fromhex, digests.split(","))]


@pytest.fixture(params=["in one piece", "in many small pieces"])
def _pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "in many small pieces":
        monkeypatch.setattr(module, "_MOST_BUFFERED_BYTES", 400 * DIGEST_BYTES)


@pytest.mark.usefixtures("_pieces")
class TestUnique:
    @pytest.mark.parametrize(
        "values",
        [
            pytest.param([], id="nothing"),
            pytest.param(digests(1), id="one"),
            pytest.param(digests(1) * 1000, id="one, a thousand times"),
            pytest.param(digests(3000), id="all different"),
            pytest.param(digests(2000) + digests(700) + digests(40), id="some again"),
            pytest.param([b"\x05" + value[1:] for value in digests(900) + digests(100)], id="all in one bucket"),
            pytest.param([b"\xff\xff" + value[2:] for value in digests(500) + digests(50)], id="all in one corner"),
        ],
    )
    def test_every_digest_comes_once_in_order(self, values: list[bytes]) -> None:
        with closing(finished(values)) as spool:
            found = list(batches(spool, 7))
            assert sorted(set(values)) == [digest for batch in found for digest in batch]
            assert all(len(batch) == 7 for batch in found[:-1])
            assert spool.unique_count == len(set(values))

    def test_batches_are_the_same_again_in_any_size_and_at_once(self) -> None:
        with closing(finished(digests(1000) + digests(10))) as spool:
            first = list(batches(spool, 30))
            assert list(zip(batches(spool, 30), batches(spool, 30), strict=True)) == [(batch, batch) for batch in first]
            assert [*chain(*first)] == [*chain(*batches(spool, 401))]


def test_memory_grows_with_different_digests_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_BUFFERED_BYTES", 1 << 20)

    def peak(different: int) -> int:
        values = [hashlib.sha256(b"%d" % number).digest() * 3 for number in range(different)]
        tracemalloc.start()
        try:
            with closing(Spool(3 * DIGEST_BYTES, encrypted=True)) as spool:
                for start in range(0, 80_000, 1000):
                    spool.add([values[number % different] for number in range(start, start + 1000)])
                spool.finish()
                assert different * spool.width == sum(map(len, spool.read_sorted_chunks()))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(2) < peak(80_000) + (4 << 20)


def test_spool_file_is_private_and_has_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with closing(finished(digests(1000))) as spool:
        status = os.fstat(spool._file._file.fileno())
        assert stat.S_IMODE(status.st_mode) == 0o600
        assert status.st_nlink == 0
        assert list(tmp_path.iterdir()) == []
        assert status.st_size == 1000 * DIGEST_BYTES


@contextlib.contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_full_disk_during_a_write_raises_oserror() -> None:
    with closing(Spool()) as spool:
        spool.add(digests(1000))
        with files_no_larger_than(10_000), pytest.raises(OSError, match="too large"):
            spool.finish()


def test_truncated_file_raises_oserror() -> None:
    with closing(finished(digests(1000))) as spool:
        os.ftruncate(spool._file._file.fileno(), 1000)
        with pytest.raises(OSError, match="incomplete"):
            list(batches(spool, 10))
