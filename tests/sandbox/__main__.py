"""A project's workflow from end to end on this machine: `scripts/sandbox`.

Between an emulated Treasure Data and an emulated Pinterest; nothing leaves the machine. Without --project it is the
main job, workflows/pinterest_export.dig, with made-up people.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import duckdb

from tests import children
from tests.emulators.__main__ import AUDIENCE_NAME, TABLE, Emulators, both, guide, load
from tests.emulators.environment import SECRETS, digdag_home
from tests.emulators.people import write_people
from tests.emulators.pinterest import Pinterest
from tests.emulators.pinterest.like import switches_like
from tests.sandbox import engine, expected, story
from tests.sandbox.engine import ROOT
from tests.sandbox.expected import Expected, WrongFileError
from tests.sandbox.project import Project, WrongProjectError, copied

_TABLE = re.compile(r"(?:[a-z0-9_]+[.])?[a-z0-9_]+")
WORKFLOW = "pinterest_export.dig"
# They outlive the run's own folder.
PAGE, LOG = ROOT / "build" / "sandbox_report.html", ROOT / "build" / "sandbox.log"
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
SELECT count(DISTINCT digest), list(DISTINCT digest) FROM digests
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; returns the exit code.

    0: the workflow succeeded, and Pinterest holds exactly what it should. 1: not so. 2: wrong usage.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        people = [expected.read(given) for given in options.expect]
        switches = switches_like(options.like) if options.like else {}
        with tempfile.TemporaryDirectory() as folder:
            return _run(options, Path(folder), people, switches)
    except (WrongProjectError, WrongFileError, OSError, ValueError) as error:
        parser.error(str(error))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/sandbox", description=__doc__)
    parser.add_argument("workflows", nargs="*", metavar="WORKFLOW.dig", help="of the project (default: the only one)")
    parser.add_argument("--project", type=Path, metavar="FOLDER", help="a bundled folder of your own, run as it is")
    parser.add_argument(
        "--table",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="a table from a CSV file with a header (or Parquet), in every database that the project names; "
        "DATABASE.NAME=FILE: in that one",
    )
    parser.add_argument(
        "--expect",
        action="append",
        default=[],
        metavar="FILE",
        help="who should be in the audience in the end: a digest or an identifier a line; AUDIENCE=FILE of several, by "
        "id or name. Ends with 1 if anybody else is, or is not",
    )
    parser.add_argument("--like", type=Path, metavar="FILE", help="a rehearsal.json: Pinterest behaves as it says")
    parser.add_argument("--rows", type=int, default=100_000, help="made-up people, where no --table is given")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page about the run (default: %(default)s)")
    parser.add_argument("--log", type=Path, default=LOG, help="all that the engine says (default: %(default)s)")
    parser.add_argument("--keep", action="store_true", help="leave the emulators up for tries of your own")
    return parser


def _run(options: argparse.Namespace, folder: Path, people: Sequence[Expected], switches: dict[str, object]) -> int:
    made_up = None if options.table else write_people(folder / "people.parquet", rows=options.rows)
    with both(switches=switches, audience=None if options.project else AUDIENCE_NAME) as emulators:
        project = copied(
            options.project or _bundled(folder / "bundled"),
            folder / "project",
            workflows=tuple(options.workflows),
            environ=emulators.environment,
        )
        if options.project:
            emulators.pinterest.switches.unknown_audiences = project.names
        for database, table, path in _tables(options.table, project.databases, made_up):
            load(emulators.td, database, table, path)
        home = digdag_home(folder, emulators.environment, secrets=SECRETS | dict(project.secrets))
        environ = emulators.environment | home
        _introduce(project, options, made_up)
        for file in (options.log, options.page):
            file.absolute().parent.mkdir(parents=True, exist_ok=True)
        code = _carry_out(project, emulators, environ, options.log)
        is_right = _compare(people, emulators.pinterest)
        if made_up and not options.project:
            is_right = _compare_by_sql(made_up, emulators) and is_right
        is_written = _report(options, emulators.environment)
        if options.keep:
            _wait(project.folder, environ)
    return 0 if not code and is_right and is_written else 1


def _bundled(folder: Path) -> Path:
    children.run([sys.executable, ROOT / "scripts" / "bundle.py", folder]).check_returncode()
    return folder


def _tables(given: Sequence[str], databases: Sequence[str], made_up: Path | None) -> Iterator[tuple[str, str, Path]]:
    """Database, table and file of each table to load. Raises ValueError for an option that is not NAME=FILE."""
    if made_up:
        yield from ((database, TABLE, made_up) for database in databases)
    for text in given:
        name, equals, file = text.partition("=")
        if not _TABLE.fullmatch(name) or not equals:
            raise ValueError(f"--table {text}: NAME=FILE or DATABASE.NAME=FILE is wanted")
        database, _, table = name.rpartition(".")
        yield from ((name, table, Path(file)) for name in ([database] if database else databases))


def _introduce(project: Project, options: argparse.Namespace, made_up: Path | None) -> None:
    what = f"{', '.join(project.workflows)} of {options.project}" if options.project else f"the main job, {WORKFLOW},"
    rows = f"{options.rows:,} made-up people" if made_up else f"{len(options.table)} table(s) of your own"
    by = engine.engine() or "tests/dig, since there is no digdag on the PATH"
    print(f"Running {what}\nbetween an emulated Treasure Data ({rows}) and an emulated Pinterest,")
    print(f"by {by}. Nothing leaves this machine.\n", flush=True)


def _carry_out(project: Project, emulators: Emulators, environ: Mapping[str, str], log: Path) -> int:
    """Run the workflows and tell what they did; returns the exit code of the first that failed, else 0."""
    before = 0
    with log.open("w", encoding="utf-8") as file:
        for workflow in project.workflows:
            file.write(f"Workflow {workflow}\n")
            file.flush()
            code = engine.run(workflow, project=project.folder, environ=environ, log=file)
            said = log.read_text(encoding="utf-8", errors="replace")[before:]
            before += len(said)
            print("\n".join(story.lines(said, td=emulators.td)))
            if code:
                print("\n".join(story.failure(said)))
                break
    print("\n".join(story.held(emulators.pinterest)))
    return code


def _compare(people: Sequence[Expected], pinterest: Pinterest) -> bool:
    """Whether everybody who is expected is there, and nobody else. Raises ValueError for an audience not named."""
    is_right = True
    for wanted in people:
        audiences = [
            held
            for held in pinterest.audiences.values()
            if not held.removed and wanted.audience in (None, held.id, held.name)
        ]
        if len(audiences) != 1:
            named = ", ".join(f'{held.id} "{held.name}"' for held in audiences) or "none"
            raise ValueError(f"--expect {wanted.file} is about one audience, and there are: {named}")
        wrong = wanted.compared(pinterest.members_of_audience(audiences[0].id))
        is_right = is_right and not wrong
        verdict = "; ".join(wrong) if wrong else f"exactly the {len(wanted.lines):,} people of {wanted.file}"
        print(f"  {'expected':8}  audience {audiences[0].id}: {verdict}")
    return is_right


def _compare_by_sql(people: Path, emulators: Emulators) -> bool:
    answer = duckdb.connect().execute(CHECK, {"file": str(people)}).fetchone()
    assert answer is not None
    unique, digests = answer
    held = emulators.pinterest.members_of_audience(emulators.environment["PINTEREST_AUDIENCE_ID"])
    same = set(digests or ()) == held
    print(f"  {'checked':8}  by SQL {unique:,} people should be in it: {'the very same are' if same else 'OTHERS ARE'}")
    return same


def _report(options: argparse.Namespace, environ: Mapping[str, str]) -> bool:
    """Write the page about the run from its log, by the command line, and say where both are."""
    audiences = {entry.text("audience_id") for entry in story.exports(options.log.read_text(errors="replace"))}
    command = [sys.executable, "-m", "td_pinterest_op", "report", options.log.absolute(), "--quiet"]
    written = [options.page.absolute()] if audiences else []
    if len(audiences) > 1:
        written = [options.page.absolute().with_stem(f"{options.page.stem}_{each}") for each in sorted(audiences)]
    for audience, page in zip(sorted(audiences), written, strict=True):
        more = ["--audience", audience] if len(audiences) > 1 else []
        done = children.run([*command, *more, "--output", page], cwd=ROOT, env=os.environ | environ)
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            return False
        print(f"  {'page':8}  {page}")
    print(f"  {'log':8}  {options.log.absolute()}", flush=True)
    return True


def _wait(project: Path, environ: Mapping[str, str]) -> None:
    print("\nThe emulators stay up; end them with Ctrl-C. For tries of your own, in another shell:\n")
    for name, value in environ.items():
        print(f"export {name}={value}")
    print(f"# To run its workflows by hand: (cd {project} && digdag run …)\n")
    print("\n".join(guide(environ)), flush=True)
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()


if __name__ == "__main__":
    sys.exit(main())
