"""Runs both emulators in their own process, so that their cost is not counted: `python -m tests.bench.services`."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

_ROOT = Path(__file__).parent.parent.parent
DATABASE = "bench"


@dataclass(frozen=True, kw_only=True)
class Services:
    """The emulators. `environ` is the environment of an export.

    `jobs` are the ids of the finished jobs, by the path of the file.
    """

    environ: Mapping[str, str]
    jobs: Mapping[str, str]


@contextlib.contextmanager
def serve_both(
    results: Mapping[Path, tuple[int, Sequence[str]]],
    *,
    tables: Mapping[str, str] = MappingProxyType({}),
    switches: Mapping[str, Any] = MappingProxyType({}),
) -> Iterator[Services]:
    """Run both emulators; `results` are msgpack.gz files, each with its number of rows and its column names.

    `tables` are SELECTs in DuckDB's SQL, by the names of the tables in DATABASE that they make, and `switches` those of
    Pinterest's emulator.
    """
    jobs = {str(path): rows_and_columns for path, rows_and_columns in results.items()}
    given = json.dumps([jobs, dict(tables), dict(switches)])
    command = [sys.executable, "-m", "tests.bench.services", given]
    with subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield Services(**json.loads(process.stdout.readline()))
        finally:
            process.stdin.close()


def main(results: Mapping[str, tuple[int, Sequence[str]]], tables: Mapping[str, str], switches: dict[str, Any]) -> None:
    """Serve until standard input ends, as it does when the parent process ends."""
    # Imported here, as the process that starts this one must stay small: see `measuring`.
    from tests.emulators.both import serve_emulators

    with serve_emulators(switches={"keeps_members": False, **switches}) as emulators:
        for name, select in tables.items():
            emulators.td.create(DATABASE, name, select)
        jobs = {
            path: emulators.td.add_job(
                columns=[(name, "varchar") for name in columns], path=Path(path), num_records=rows
            )
            for path, (rows, columns) in results.items()
        }
        print(json.dumps({"environ": emulators.environment, "jobs": jobs}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(*json.loads(sys.argv[1]))
