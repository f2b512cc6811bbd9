"""Bytes of a result, however they come → every row once, or an error."""

import contextlib
import gzip
import io
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unittest.mock import Mock

import msgpack
import pytest
import urllib3
from hypothesis import given, settings
from hypothesis import strategies as st

from td_pinterest_op.errors import JobError, TreasureDataError, WorkflowError
from td_pinterest_op.http.transport import RawResponse
from td_pinterest_op.treasure_data.job import Job
from td_pinterest_op.treasure_data.result import JobRows
from td_pinterest_op.treasure_data.td_api import TemporaryError, TreasureData
from tests.campaigns import examples
from tests.clock import FakeTime
from tests.unit.scripted import describe_td


@dataclass(frozen=True, kw_only=True)
class Serving:
    """How one request is answered: `at_most` bytes (None: all there are), then an end or, `with_length`, a break.

    `ignores_range` starts from the beginning, `off` by this many bytes before (or after) what was asked for. A `status`
    above 300 is answered as it stands.
    """

    at_most: int | None = None
    with_length: bool = True
    ignores_range: bool = False
    off: int = 0
    status: int = 206
    asked: float = 0.0


WHOLE = Serving()


class Wire(TreasureData):
    """A Treasure Data that serves `content`, each request as the next of `servings` says, all others whole."""

    def __init__(self, time: FakeTime, content: bytes, servings: Sequence[Serving] = (), *, retries: int = 3) -> None:
        super().__init__(**describe_td(time, retries=retries))
        self._content = content
        self._servings = itertools.chain(servings, itertools.repeat(WHOLE))
        self.ranges: list[str | None] = []

    @contextlib.contextmanager
    def open_response(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[RawResponse]:
        assert (method, path) == ("GET", "/v3/job/result/5?format=msgpack.gz")
        sent = headers or {}
        self.ranges.append(sent.get("Range"))
        serving = next(self._servings)
        if serving.status in (429, 503):
            raise TemporaryError(f"response {serving.status}", retry_after=serving.asked)
        if serving.status > 300:
            yield urllib3.HTTPResponse(status=serving.status, preload_content=False)
            return
        start = int(re.findall(r"\d+", sent.get("Range", "0"))[0])
        if start and not serving.ignores_range and start >= len(self._content):
            yield urllib3.HTTPResponse(status=416, preload_content=False)
            return
        start = 0 if serving.ignores_range or not headers else max(start - serving.off, 0)
        try:
            yield self._part(serving, start, is_part=bool(headers) and not serving.ignores_range)
        except urllib3.exceptions.HTTPError:
            raise TemporaryError("no response") from None

    def _part(self, serving: Serving, start: int, *, is_part: bool) -> urllib3.HTTPResponse:
        body = self._content[start:]
        headers = {"Content-Range": f"bytes {start}-{len(self._content) - 1}/{len(self._content)}"} if is_part else {}
        if serving.with_length:
            headers["Content-Length"] = str(len(body))
        return urllib3.HTTPResponse(
            body=io.BytesIO(body[: serving.at_most]),
            headers=headers,
            status=206 if is_part else 200,
            preload_content=False,
            request_method="GET",
            original_response=Mock(isclosed=lambda: False),
        )


def buffers(values: Sequence[Any], *, members: int = 1) -> bytes:
    """Rows of one column, as a gzip file of this many members."""
    size = -(-len(values) // members) or 1
    shares = [values[start : start + size] for start in range(0, len(values), size)] or [[]]
    return b"".join(gzip.compress(b"".join(msgpack.packb([value]) for value in share)) for share in shares)


def named(count: int) -> list[bytes]:
    return [b"value %d" % number for number in range(count)]


TEXTS = [value.decode() for value in named(500)]
CONTENT = buffers(TEXTS)


def job(records: int | None, size: int | None, columns: int = 1) -> Job:
    return Job(id="5", schema=(("email", "varchar"),) * columns, records=records, size=size)


def rows(wire: Wire, job: Job) -> list[Any]:
    return [value for block in JobRows(wire, job) for value in block[0]]


@pytest.mark.parametrize("content", [b"", gzip.compress(b"")], ids=["no bytes", "an empty file"])
@pytest.mark.parametrize("is_told", [True, False])
@pytest.mark.parametrize("serving", [WHOLE, Serving(status=404)], ids=["there", "not there"])
def test_a_result_of_no_rows_may_have_no_bytes_or_not_be_there(
    fake_time: FakeTime, content: bytes, is_told: bool, serving: Serving
) -> None:
    wire = Wire(fake_time, content, [serving])
    assert rows(wire, job(0, len(content) if is_told else None)) == []
    assert wire.ranges == [None]


def test_values_are_bytes_null_or_other_msgpack_types(fake_time: FakeTime) -> None:
    values = ["ä", b"\xff\xfe", None, 7, 2.5, True, [1], {"a": 1}, "x" * 100_000]
    expected = ["ä".encode(), b"\xff\xfe", None, 7, 2.5, True, (1,), {b"a": 1}, b"x" * 100_000]
    assert rows(Wire(fake_time, buffers(values)), job(9, None)) == expected


def test_block_has_a_list_of_the_same_length_for_each_column(fake_time: FakeTime) -> None:
    content = gzip.compress(b"".join(msgpack.packb([number, str(number), None]) for number in range(2000)))
    numbers, texts, nulls = zip(*JobRows(Wire(fake_time, content), job(2000, None, columns=3)), strict=True)
    assert list(range(2000)) == list(itertools.chain(*numbers))
    assert list(itertools.chain(*texts)) == [b"%d" % number for number in range(2000)]
    assert [len(block) for block in numbers] == [len(block) for block in nulls]


def test_blocks_stay_small_however_well_the_result_is_compressed(fake_time: FakeTime) -> None:
    content = buffers(["x" * 1000] * 20_000)
    assert len(content) < 200_000
    blocks = list(JobRows(Wire(fake_time, content), job(20_000, len(content))))
    assert sum(len(block[0]) for block in blocks) == 20_000
    assert max(len(block[0]) for block in blocks) <= 525


# -- a download that breaks off


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
@pytest.mark.parametrize("with_length", [True, False], ids=["length", "no length"])
@pytest.mark.parametrize(
    "again",
    [WHOLE, Serving(ignores_range=True), Serving(off=10), Serving(off=10_000)],
    ids=["range", "range ignored", "earlier", "from the start"],
)
@pytest.mark.parametrize("size_known", [True, False], ids=["size", "no size"])
def test_download_is_resumed_where_it_ended(
    fake_time: FakeTime, share: float, with_length: bool, again: Serving, size_known: bool
) -> None:
    cut = int(len(CONTENT) * share)
    wire = Wire(fake_time, CONTENT, [Serving(at_most=cut, with_length=with_length), again])
    assert named(500) == rows(wire, job(500, len(CONTENT) if size_known else None))
    assert wire.ranges == [None, f"bytes={cut}-" if cut else None]


def test_download_is_resumed_as_long_as_it_progresses(fake_time: FakeTime) -> None:
    wire = Wire(fake_time, CONTENT, [Serving(at_most=1)] * (len(CONTENT) - 1), retries=0)
    assert named(500) == rows(wire, job(500, len(CONTENT)))
    assert set(fake_time.slept) == {1.0}


def test_response_with_a_later_part_is_rejected(fake_time: FakeTime) -> None:
    wire = Wire(fake_time, CONTENT, [Serving(at_most=100), Serving(off=-5)])
    assert named(500) == rows(wire, job(500, len(CONTENT)))
    assert wire.ranges == [None, "bytes=100-", "bytes=100-"]


def test_close_within_a_member_of_the_file_is_not_its_end(fake_time: FakeTime) -> None:
    wire = Wire(fake_time, CONTENT, [Serving(at_most=len(CONTENT) - 1, with_length=False)])
    assert named(500) == rows(wire, job(None, None))
    assert len(wire.ranges) == 2


def test_failing_download_ends_after_the_retries_with_the_reason(fake_time: FakeTime) -> None:
    wire = Wire(fake_time, CONTENT, [Serving(at_most=900), *[Serving(status=503)] * 9])
    with pytest.raises(TreasureDataError) as caught:
        rows(wire, job(500, len(CONTENT)))
    assert re.search(
        r"is truncated: \d+ of 500 rows arrived \(the last of 4 tries: response 503\)\. Run", str(caught.value)
    )
    assert fake_time.slept == [1, 1, 2, 4]
    assert len(wire.ranges) == 5


def test_a_wait_that_is_longer_than_allowed_is_not_begun(fake_time: FakeTime) -> None:
    wire = Wire(fake_time, b"", [Serving(status=429, asked=61)])
    with pytest.raises(
        TreasureDataError, match="response 429 in the result of job 5; Treasure Data asks to wait 1 min 1 s"
    ):
        rows(wire, job(1, 1))
    assert fake_time.slept == []


# -- another number of rows


@pytest.mark.parametrize("again", [WHOLE, Serving(ignores_range=True)], ids=["range", "range ignored"])
@pytest.mark.parametrize("size_known", [True, False], ids=["size", "no size"])
def test_fewer_rows_than_the_job_says_are_an_error_with_both_numbers_and_no_wait(
    fake_time: FakeTime, again: Serving, size_known: bool
) -> None:
    wire = Wire(fake_time, CONTENT, [WHOLE, again])
    with pytest.raises(TreasureDataError, match=r"is truncated: 500 of 501 rows arrived\. Run this task"):
        rows(wire, job(501, len(CONTENT) if size_known else None))
    assert fake_time.slept == []


@pytest.mark.parametrize("records", [0, 1, 499])
def test_more_rows_than_the_job_says_are_an_error(fake_time: FakeTime, records: int) -> None:
    with pytest.raises(TreasureDataError, match=f"has more rows than the {records} that the job reports"):
        rows(Wire(fake_time, CONTENT), job(records, None))


# -- damaged data


@pytest.mark.parametrize(
    "content",
    [
        b"no gzip at all",
        CONTENT[:-8] + bytes(8),
        gzip.compress(b"\xc1" * 10),
        gzip.compress(b"\x91\x81\x80\x01"),
        buffers(TEXTS[:10]) + b"trailing garbage",
    ],
    ids=["no gzip", "check sum", "no msgpack", "a map as a key", "garbage behind it"],
)
def test_data_that_cannot_be_read_is_an_error(fake_time: FakeTime, content: bytes) -> None:
    with pytest.raises(
        TreasureDataError,
        match=r"the result of job 5 cannot be read, because its data is damaged\. Run this task again",
    ):
        rows(Wire(fake_time, content), job(500, len(content)))


@pytest.mark.parametrize("row", [7, "text", {}, [], ["a", "b"]], ids=repr)
def test_row_of_another_schema_is_an_error(fake_time: FakeTime, row: object) -> None:
    content = gzip.compress(msgpack.packb(["fine"]) + msgpack.packb(row))
    with pytest.raises(TreasureDataError, match="its data is damaged"):
        rows(Wire(fake_time, content), job(2, len(content)))


@pytest.mark.parametrize(
    ("status", "error", "complaint"),
    [
        (404, JobError, "no longer has a result: Treasure Data keeps results for seven days. Run the query again"),
        (
            400,
            WorkflowError,
            "response 400 to the request for the result of job 5. Repeating the request does not",
        ),
    ],
)
def test_response_without_a_result_is_an_error_at_once(
    fake_time: FakeTime, status: int, error: type[Exception], complaint: str
) -> None:
    wire = Wire(fake_time, b"", [Serving(status=status)])
    with pytest.raises(error, match=complaint):
        rows(wire, job(1, 1))
    assert len(wire.ranges) == 1


_servings = st.builds(
    Serving,
    at_most=st.integers(0, 300),
    with_length=st.booleans(),
    ignores_range=st.booleans(),
    off=st.integers(-5, 400),
    status=st.sampled_from([206, 206, 206, 429, 503]),
)


@settings(max_examples=examples(150))
@given(servings=st.lists(_servings, max_size=12), members=st.integers(1, 9), size_known=st.booleans())
def test_whatever_the_wire_does_every_row_comes_once_or_the_result_is_short(
    servings: list[Serving], members: int, size_known: bool
) -> None:
    content = buffers(TEXTS[:100], members=members)
    wire = Wire(FakeTime(), content, servings)
    try:
        assert named(100) == rows(wire, job(100, len(content) if size_known else None))
    except (TreasureDataError, JobError) as error:
        assert "is truncated" in str(error)  # noqa: PT017 - both ends are good
