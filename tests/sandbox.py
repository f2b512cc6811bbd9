"""The main job end to end on this machine: `scripts/sandbox`.

Starts both emulators with made-up people, runs workflows/pinterest_export.dig from the bundled folder, and shows what
Pinterest then holds beside what was read. The history of the run becomes a page, build/sandbox_report.html.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from tests.emulators.__main__ import DATABASE, both, guide
from tests.emulators.environment import digdag_home
from tests.emulators.people import write_people
from tests.emulators.pinterest import Pinterest

ROOT = Path(__file__).parent.parent
WORKFLOW = "pinterest_export.dig"
# It outlives the run's own folder.
PAGE = ROOT / "build" / "sandbox_report.html"
# What should be in the list, by SQL and not by the operator.
CHECK = """
WITH asked AS (SELECT email FROM read_parquet($file) WHERE opted_in),
trimmed AS (SELECT lower(trim(email, ' ' || chr(160) || chr(8203))) AS value FROM asked),
digests AS (
    SELECT value AS digest FROM trimmed WHERE regexp_full_match(value, '[0-9a-f]{64}') AND value <> sha256('')
    UNION ALL
    SELECT sha256(value) FROM trimmed
    WHERE octet_length(encode(value)) <= 254 AND regexp_full_match(value, '[^@, ]+@[^@,. ]+([.][^@,. ]+)+')
)
SELECT (SELECT count(*) FROM asked), count(*), count(DISTINCT digest), list(DISTINCT digest) FROM digests
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; returns the exit code: 0 when Pinterest holds exactly what it should and the page is written."""
    parser = argparse.ArgumentParser(prog="scripts/sandbox", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="made-up people")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page about the run (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="leave the emulators up for tries of your own")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "pinterest_export"
        subprocess.run([sys.executable, ROOT / "scripts" / "bundle.py", project], check=True, stdout=subprocess.DEVNULL)
        people = write_people(Path(folder) / "people.parquet", rows=options.rows)
        with both(data=people) as (pinterest, environment):
            home = digdag_home(Path(folder), environment)
            code = _run(project, environment | home)
            same = _show(people, pinterest, environment["PINTEREST_AUDIENCE_ID"])
            written = _report(options.page.absolute(), environment)
            if options.keep:
                _wait(project, environment | home)
    return code or int(not (same and written))


def _run(project: Path, environment: Mapping[str, str]) -> int:
    digdag = shutil.which("digdag")
    command = [digdag, "run"] if digdag else [sys.executable, "-m", "tests.dig", "run", "--project", str(project)]
    print(f"Running {WORKFLOW} with {digdag or 'tests/dig, since there is no digdag on the PATH'}.", flush=True)
    # The python of a py> task is the one on the PATH.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return subprocess.run(
        [*command, WORKFLOW, "--rerun", "--no-save"],
        cwd=project if digdag else ROOT,
        env=os.environ | environment | {"PATH": path},
        check=False,
    ).returncode


def _show(people: Path, pinterest: Pinterest, audience_id: str) -> bool:
    found = duckdb.connect().execute(CHECK, {"file": str(people)}).fetchone()
    assert found is not None
    rows, valid, unique, digests = found
    held = pinterest.members_of_audience(audience_id)
    same = set(digests or ()) == held
    print(f"""
                                   read (by SQL)   held by Pinterest
  rows of the query                {rows:>13,}
  valid e-mails and hashes         {valid:>13,}
  different people                 {unique:>13,}   {len(held):>17,}
  the very same digests            {"yes" if same else "NO":>33}

  audience {audience_id} "{pinterest.audiences[audience_id].name}"
""")
    return same


def _report(page: Path, environment: Mapping[str, str]) -> bool:
    """Write the page about the run from its row in the history table, with the command line, and say where it is."""
    page.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "td_pinterest_op", "report", "--history", f"{DATABASE}.pinterest_history"]
    # The command line says on stderr what went wrong.
    done = subprocess.run([*command, "--quiet", "--output", page], cwd=ROOT, env=os.environ | environment, check=False)
    if done.returncode == 0:
        print(f"The page about this run: {page}\n", flush=True)
    return done.returncode == 0


def _wait(project: Path, environment: Mapping[str, str]) -> None:
    print("The emulators stay up; end them with Ctrl-C. For tries of your own, in another shell:\n")
    for name, value in environment.items():
        print(f"export {name}={value}")
    print(f"cd {project}\n")
    print("\n".join(guide(environment)), flush=True)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()


if __name__ == "__main__":
    sys.exit(main())
