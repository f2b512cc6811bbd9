"""`scripts/bench`: measures, and prints the tables that tests/bench/README.md holds."""

import argparse
import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench import preparing, whole

_LIBRARIES = ("requests", "msgpack", "td-client")
SIZES = (100_000, 1_000_000)
FULL_SIZES = (100_000, 1_000_000, 10_000_000)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what was asked for; progress goes to stderr, the Markdown to stdout."""
    options = _parse(arguments)
    begin = time.monotonic()
    # Measure everything before printing, as half a table is useless.
    prepared = preparing.measure(options.rows or (FULL_SIZES if options.full else SIZES), say=_say)
    exported = whole.measure(options.rows or (FULL_SIZES[1:] if options.full else SIZES[1:]), say=_say)
    print(f"{_machine()}.\n\n{preparing.table(prepared)}\n\n{whole.table(exported)}")
    _say(f"took {time.monotonic() - begin:.0f} s")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--full", action="store_true", help="ten million rows too: some 20 minutes, 3 GB of disk, 5 of memory"
    )
    size.add_argument("--rows", type=int, action="append", choices=FULL_SIZES, help="this number of rows only")
    return parser.parse_args(arguments)


def _machine() -> str:
    """Describe processor, cores, system, Python, and the versions of the libraries."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES)
    return (
        f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}; {versions}"
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "an unnamed processor"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
