"""The floor: a bare hash loop over a result's values: `python hash_floor.py RESULT.msgpack.gz`.

Prints its CPU seconds per value. It keeps the digests, as a program that sends them must; reading is not
counted. At most a million values are hashed, repeatedly until there were half as many.
"""

import gzip
import hashlib
import itertools
import sys
import time
from collections.abc import Sequence

import msgpack

_LEAST = 500_000
_MOST = 1_000_000
_BLOCK = 20_000


def main(path: str) -> None:
    seconds = 0.0
    hashed = 0
    while hashed < _LEAST:
        with gzip.open(path) as file:
            rows = itertools.islice(msgpack.Unpacker(file, raw=True), _MOST)
            while values := [row[0] for row in itertools.islice(rows, _BLOCK)]:
                begin = time.process_time()
                hashed += len(collect_digests(values))
                seconds += time.process_time() - begin
    print(seconds / hashed)


def collect_digests(values: Sequence[bytes]) -> list[str]:
    return [hashlib.sha256(value).hexdigest() for value in values]


if __name__ == "__main__":
    main(sys.argv[1])
