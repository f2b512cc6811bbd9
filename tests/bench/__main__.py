"""`scripts/bench`: measures, and prints the tables that tests/bench/README.md holds."""

import argparse
import importlib.metadata
import os
import platform
import sys
import time

from tests.bench import preparing, whole

_LIBRARIES = ("requests", "msgpack", "td-client")


def main() -> None:
    """Measure; progress goes to stderr, the Markdown to stdout."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument(
        "--full", action="store_true", help="ten million rows too: some 20 minutes, 3 GB of disk, 5 of memory"
    )
    more = [10_000_000] if parser.parse_args().full else []
    begin = time.monotonic()
    # Measure everything before printing, as half a table is useless.
    tables = [preparing.measure([100_000, 1_000_000, *more], say=_say), whole.measure([1_000_000, *more], say=_say)]
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _LIBRARIES)
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}; {versions}.",
        *tables,
        sep="\n\n",
    )
    _say(f"took {time.monotonic() - begin:.0f} s")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
