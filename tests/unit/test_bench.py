import gzip
import io
from pathlib import Path

import duckdb
import msgpack
import pytest

from tests.bench.rows import count_unique, generate_people, opt_out_query, write_rows
from tests.bench.sending import Run, ideal_seconds


@pytest.mark.parametrize(
    ("run", "seconds"),
    [
        (Run(batches=1, latency=0.5, per_minute=400), 0.5),
        # 1, 2, 4, then 8 at once
        (Run(batches=7, latency=0.5, per_minute=400), 1.5),
        (Run(batches=15, latency=0.5, per_minute=400), 2.0),
        (Run(batches=16, latency=0.5, per_minute=400), 2.5),
        (Run(batches=200, latency=0.5, per_minute=400), 14.0),
        (Run(batches=5, latency=2.0, per_minute=400, max_in_flight=1), 10.0),
        # two windows: what left in the first minute holds up what may leave in the next
        (Run(batches=4, latency=1.0, per_minute=2, max_in_flight=1), 62.0),
        # the second is answered 429 at once: after the wait it leaves again
        (Run(batches=2, latency=0.5, per_minute=400, throttled=2, hold=3), 4.0),
    ],
)
def test_the_ideal_is_held_up_by_latency_flight_pace_and_429_alone(run: Run, seconds: float) -> None:
    assert seconds == pytest.approx(ideal_seconds(run))


def test_of_the_rows_a_hundredth_is_invalid_and_a_fiftieth_repeated() -> None:
    digests = [digest for _, digest in generate_people(0, 10_000) if digest]
    assert (9_900, 9_700) == (len(digests), len(set(digests)))
    assert 9_700 == count_unique(10_000)


def test_the_files_hold_the_same_people_and_each_digest_once(tmp_path: Path) -> None:
    rows = write_rows(tmp_path, 20_000)
    plain, hashed = (
        [row for (row,) in msgpack.Unpacker(io.BytesIO(gzip.decompress(path.read_bytes())), raw=True)]
        for path in (rows.plain, rows.hashed)
    )
    assert [value for value, _ in generate_people(0, 20_000)] == plain
    assert [digest or value for value, digest in generate_people(0, 20_000)] == hashed
    assert {digest for _, digest in generate_people(0, 20_000) if digest} == set(rows.digests.read_bytes().split())
    assert rows.unique == len(rows.digests.read_bytes().split())


def test_half_of_the_rows_are_of_people_who_opted_out() -> None:
    with duckdb.connect(":memory:") as database:
        opted = {value.encode() for (value,) in database.execute(opt_out_query(1_000)).fetchall()}
    found = [value in opted for value, digest in generate_people(0, 1_000) if digest]
    assert 1_000 == len(opted)
    assert 0.45 < sum(found) / len(found) < 0.55


def test_rows_of_three_keys_are_the_same_people(tmp_path: Path) -> None:
    rows = write_rows(tmp_path, 1_000)
    keys = list(msgpack.Unpacker(io.BytesIO(gzip.decompress(rows.keys.read_bytes())), raw=True))
    assert [value for value, _ in generate_people(0, 1_000)] == [email for email, _, _ in keys]
    assert 10 == sum(device is None and phone is None for _, device, phone in keys)
    assert 970 == len({phone for _, _, phone in keys if phone})


def test_of_the_same_person_there_are_as_many_rows(tmp_path: Path) -> None:
    rows = write_rows(tmp_path, 20_000)
    for path, keys in {rows.same: 1, rows.same_keys: 3}.items():
        read = list(msgpack.Unpacker(io.BytesIO(gzip.decompress(path.read_bytes())), raw=True, use_list=False))
        assert (20_000, 1, keys) == (len(read), len(set(read)), len(read[0]))
