"""The floor: a bare hash loop over a result's values: `python hash_floor.py RESULT.msgpack.gz LEAST MOST`.

Prints two numbers as JSON, CPU seconds for each value: of the loop that has the digests in the end, as anything that
sends them must, and of the loop that throws each away. Reading is not counted. No more than `MOST` values are hashed,
again and again until it were `LEAST`.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import sys
import time
from collections.abc import Callable, Sequence

import msgpack

_BLOCK = 20_000


def main(path: str, least: int, most: int) -> None:
    seconds = dict.fromkeys((keep, throw_away), 0.0)
    hashed = 0
    while hashed < least:
        with gzip.open(path) as file:
            rows = itertools.islice(msgpack.Unpacker(file, raw=True), most)
            while values := [row[0] for row in itertools.islice(rows, _BLOCK)]:
                hashed += len(values)
                for loop in seconds:
                    seconds[loop] += _cpu(loop, values)
    print(json.dumps([total / hashed for total in seconds.values()]))


def keep(values: Sequence[bytes]) -> list[str]:
    return [hashlib.sha256(value).hexdigest() for value in values]


def throw_away(values: Sequence[bytes]) -> None:
    for value in values:
        hashlib.sha256(value).hexdigest()


def _cpu(loop: Callable[[Sequence[bytes]], object], values: Sequence[bytes]) -> float:
    begin = time.process_time()
    loop(values)
    return time.process_time() - begin


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
