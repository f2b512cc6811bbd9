"""A project's workflow from end to end on this machine: `scripts/sandbox`.

Between an emulated Treasure Data and an emulated Pinterest; nothing leaves the machine. Without --project it is the
main job, workflows/pinterest_export.dig, with made-up people, and after it an export that withholds some of them.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from tests import children
from tests.emulators.__main__ import AUDIENCE_NAME, TABLE, Emulators, both, guide
from tests.emulators.environment import SECRETS, digdag_home
from tests.emulators.people import write_people
from tests.emulators.pinterest import Pinterest
from tests.emulators.pinterest.like import switches_like
from tests.sandbox import expected, made_up, story
from tests.sandbox.expected import Expected
from tests.sandbox.project import Project, copied

ROOT = Path(__file__).parent.parent.parent
_TABLE = re.compile(r"(?:[a-z0-9_]+[.])?[a-z0-9_]+")
WORKFLOW = "pinterest_export.dig"
# Seconds; a digdag that cannot reach something tries for ever.
_LONGEST = 3_600.0
# They outlive the run's own folder.
PAGE, LOG = ROOT / "build" / "sandbox_report.html", ROOT / "build" / "sandbox.log"
# What is run after the main job, of this folder.
WITHHELD = "withheld.dig"


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
    except (OSError, ValueError) as error:
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
    people_file = None if options.table else write_people(folder / "people.parquet", rows=options.rows)
    with both(switches=switches, audience=None if options.project else AUDIENCE_NAME) as emulators:
        project = copied(
            options.project or _bundled(folder / "bundled"),
            folder / "project",
            workflows=tuple(options.workflows),
            environ=emulators.environment,
        )
        if options.project:
            emulators.pinterest.switches.unknown_audiences = project.names
        for database, table, path in _tables(options.table, project.databases, people_file):
            emulators.td.warehouse.load_file(database, table, path)
        home = digdag_home(folder, emulators.environment, secrets=SECRETS | dict(project.secrets))
        environ = emulators.environment | home
        _introduce(project, options, people_file)
        for file in (options.log, options.page):
            file.absolute().parent.mkdir(parents=True, exist_ok=True)
        options.log.write_text("", encoding="utf-8")
        code = _carry_out(project.workflows, project.folder, emulators, environ, options.log)
        is_right = _compare(people, emulators.pinterest)
        if people_file and project.workflows == (WORKFLOW,) and not options.project and not code:
            is_right = _withhold(people_file, project, emulators, environ, options.log) and is_right
        is_written = _report(options, emulators.environment)
        if options.keep:
            _wait(project.folder, environ)
    return 0 if not code and is_right and is_written else 1


def _bundled(folder: Path) -> Path:
    children.run([sys.executable, ROOT / "scripts" / "bundle.py", folder]).check_returncode()
    return folder


def _tables(given: Sequence[str], databases: Sequence[str], people: Path | None) -> Iterator[tuple[str, str, Path]]:
    """Database, table and file of each table to load. Raises ValueError for an option that is not NAME=FILE."""
    if people:
        yield from ((database, TABLE, people) for database in databases)
    for text in given:
        name, equals, file = text.partition("=")
        if not _TABLE.fullmatch(name) or not equals:
            raise ValueError(f"--table {text}: NAME=FILE or DATABASE.NAME=FILE is wanted")
        database, _, table = name.rpartition(".")
        yield from ((name, table, Path(file)) for name in ([database] if database else databases))


def _introduce(project: Project, options: argparse.Namespace, people: Path | None) -> None:
    what = f"{', '.join(project.workflows)} of {options.project}" if options.project else f"the main job, {WORKFLOW},"
    rows = f"{options.rows:,} made-up people" if people else f"{len(options.table)} table(s) of your own"
    by = shutil.which("digdag") or "tests/dig, since there is no digdag on the PATH"
    print(f"Running {what}\nbetween an emulated Treasure Data ({rows}) and an emulated Pinterest,")
    print(f"by {by}. Nothing leaves this machine.\n", flush=True)


def _carry_out(
    workflows: Sequence[str], folder: Path, emulators: Emulators, environ: Mapping[str, str], log: Path
) -> int:
    """Run the workflows and tell what they did; returns the exit code of the first that failed, else 0."""
    before = len(log.read_text(encoding="utf-8", errors="replace"))
    with log.open("a", encoding="utf-8") as file:
        for workflow in workflows:
            file.write(f"Workflow {workflow}\n")
            file.flush()
            code = _by_engine(workflow, project=folder, environ=environ, log=file)
            said = log.read_text(encoding="utf-8", errors="replace")[before:]
            before += len(said)
            # Those who look on have seen a plan like the second one.
            print("\n".join(story.lines(said, td=emulators.td, with_plan=workflow != WITHHELD)))
            if code:
                print("\n".join(story.failure(said)))
                break
    print("\n".join(story.held(emulators.pinterest)))
    return code


def _by_engine(workflow: str, *, project: Path, environ: Mapping[str, str], log: TextIO) -> int:
    """Run a workflow once, by the digdag on the PATH, else by tests/dig; returns the exit code."""
    digdag = shutil.which("digdag")
    command = [digdag, "run"] if digdag else [sys.executable, "-m", "tests.dig", "run", "--project", str(project)]
    # The python of a py> task is the one on the PATH.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return children.run(
        [*command, workflow, "--rerun", "--no-save"],
        cwd=project if digdag else ROOT,
        env=os.environ | dict(environ) | {"PATH": path},
        limit=_LONGEST,
        capture_output=False,
        stdout=log,
        stderr=subprocess.STDOUT,
    ).returncode


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


def _withhold(people: Path, project: Project, emulators: Emulators, environ: Mapping[str, str], log: Path) -> bool:
    """Compare what the main job sent, export once more, and compare again; returns whether all is as it should be."""
    opt_outs = made_up.write_opt_outs(people, people.with_stem(made_up.OPT_OUTS))
    asked = made_up.asked(people, opt_outs)
    is_right = _checked(f"{len(asked.everybody):,} people should be in it", asked.everybody, emulators)
    for database in project.databases:
        emulators.td.warehouse.load_file(database, made_up.OPT_OUTS, opt_outs)
    shutil.copy(Path(__file__).with_name(WITHHELD), project.folder)
    print(f"\nOnce more, by {WITHHELD}: without who opted out, and without a control group of 10 %\n", flush=True)
    if _carry_out((WITHHELD,), project.folder, emulators, environ, log):
        return False
    text = (
        f"{len(asked.opted_out):,} opted out (a join on the text finds {asked.by_text:,} of them) and "
        f"{len(asked.in_control - asked.opted_out):,} are the control group; the others should be in it"
    )
    return _checked(text, asked.everybody - asked.opted_out - asked.in_control, emulators) and is_right


def _checked(text: str, people: frozenset[str], emulators: Emulators) -> bool:
    """Say and return whether the audience has exactly these people."""
    same = people == emulators.pinterest.members_of_audience(emulators.environment["PINTEREST_AUDIENCE_ID"])
    print("\n".join(story.labelled("checked", [f"by SQL {text}: {'the very same are' if same else 'OTHERS ARE'}"])))
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
