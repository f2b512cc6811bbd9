"""Runs the workflows of a project from end to end on this machine: `scripts/sandbox`.

They run between an emulated Treasure Data and an emulated Pinterest; nothing leaves the machine. Without --project it
is the main job, workflows/pinterest_export.dig, with made-up people, and after it an export that withholds some of
them, tests/sandbox/withheld.dig.
"""

import argparse
import logging
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TextIO

from td_pinterest_op.report.page import render_page
from td_pinterest_op.report.page_file import write_report_page
from tests import children
from tests.dig import DigError
from tests.dig.__main__ import read_params
from tests.emulators.both import AUDIENCE_NAME, TABLE, Emulators, serve_emulators
from tests.emulators.environment import SECRETS, digdag_home
from tests.emulators.people import write_lists, write_people
from tests.emulators.pinterest import Audience
from tests.emulators.pinterest.like import switches_like
from tests.sandbox import story
from tests.sandbox.expected import Expectation, read_expectation
from tests.sandbox.options import argument_parser, table_files
from tests.sandbox.project import MAIN_JOB, ROOT, Project, choose_workflows, command, copy_project
from tests.sandbox.screen import labelled, say, wrapped

# Seconds; a digdag that cannot reach something tries for ever.
_LONGEST = 3_600.0
# What runs after the main job.
WITHHELD = Path(__file__).with_name("withheld.dig")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the workflows; returns the exit code.

    0: the workflows succeeded, and Pinterest holds exactly what it should. 1: not so. 2: wrong usage.
    """
    parser = argument_parser(__doc__)
    options = parser.parse_args(arguments)
    # The operator's code also runs in this process; what it logs is no part of the story.
    logging.getLogger("td_pinterest_op").addHandler(logging.NullHandler())
    try:
        expectations = [read_expectation(option) for option in options.expect]
        read_params(options.params)  # for its errors: the engine reads them again
        with tempfile.TemporaryDirectory() as folder:
            return _run(options, Path(folder), expectations)
    except (OSError, ValueError, DigError) as error:
        parser.error(str(error))


@dataclass(frozen=True, kw_only=True)
class _Sandbox:
    """A project between the emulators.

    `environ`: where its workflows find them, and the local secrets. `params`: those of each run, as NAME=VALUE.
    """

    project: Project
    emulators: Emulators
    environ: Mapping[str, str]
    params: Sequence[str]
    log: Path

    def read_log(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def run(self, workflow: str) -> int:
        """Run a workflow and print its story; returns the exit code of the engine."""
        before = len(self.read_log())
        say(labelled("running", [workflow]))
        with self.log.open("a", encoding="utf-8") as file:
            file.write(f"Workflow {workflow}\n")
            file.flush()
            code = _run_engine(self.command_of(workflow), environ=self.environ, log=file)
        text = self.read_log()[before:].replace(str(self.project.folder), str(self.project.source))
        exports = story.find_exports(text)
        for export, error in exports:
            say(story.export_lines(export, error, query_of=lambda job_id: self.emulators.td.jobs.get(job_id).query))
        if code and not any(error for _, error in exports):
            say(labelled("failed", story.find_failure(text)))
            say(labelled("look at", [command("td-pinterest", "check", self.project.source / workflow)]))
        return code

    def command_of(self, workflow: str) -> tuple[list[str], Path]:
        """Return the command that runs a workflow, by the digdag on the PATH, else by tests/dig, and its folder."""
        params = [argument for param in self.params for argument in ("-p", param)]
        if digdag := shutil.which("digdag"):
            return [digdag, "run", workflow, "--rerun", "--no-save", *params], self.project.folder
        dig = [sys.executable, "-m", "tests.dig", "run", "--project", str(self.project.folder), workflow]
        return [*dig, *params], ROOT


def _run(options: argparse.Namespace, folder: Path, expectations: Sequence[Expectation]) -> int:
    workflows = choose_workflows(options.project or ROOT / "workflows", options.workflows)
    say([*wrapped(_introduction(workflows, options)), ""])
    made_up_tables: dict[str, Path] = {}
    if not options.table:
        people = write_people(folder / "people.parquet", rows=options.rows)
        made_up_tables = {TABLE: people, **write_lists(people)}
    switches = switches_like(options.like) if options.like else {}
    with serve_emulators(switches=switches, audience=None if options.project else AUDIENCE_NAME) as emulators:
        sandbox = _prepare(workflows, options, folder, emulators)
        pinterest = emulators.pinterest
        if options.project:
            pinterest.accounts.clear()
            pinterest.reserved_ids |= sandbox.project.ids
            pinterest.switches.set({"unknown_audiences": sandbox.project.names})
        for database, table, path in table_files(options.table, sandbox.project.databases, made_up_tables):
            emulators.td.warehouse.load_file(database, table, path)
        code = next(filter(None, map(sandbox.run, sandbox.project.workflows)), 0)
        say(story.audience_lines(pinterest))
        if pinterest.unknown:
            say(labelled("made up", [", ".join(f"{noun} {id_}" for id_, noun in pinterest.unknown.items())]))
        is_right = _as_expected(sandbox, expectations, has_failed=bool(code))
        if made_up_tables and sandbox.project.workflows == (MAIN_JOB,) and not options.project and not code:
            code = _withhold(sandbox)
        _write_report(options, sandbox)
        if options.keep:
            _wait(sandbox)
    return 0 if not code and is_right else 1


def _introduction(workflows: Sequence[str], options: argparse.Namespace) -> str:
    files = ", ".join(str((options.project or Path("workflows")) / name) for name in workflows)
    engine = shutil.which("digdag") or "tests/dig (no digdag is on the PATH)"
    rows = "tables of your own" if options.table else f"{options.rows:,} made-up people"
    return (
        f"Runs {files} by {engine}, between emulators of Treasure Data, with {rows}, and of Pinterest. "
        "Nothing leaves this machine."
    )


def _prepare(workflows: tuple[str, ...], options: argparse.Namespace, folder: Path, emulators: Emulators) -> _Sandbox:
    """Copy the project, and make what it needs outside of its folder."""
    project = copy_project(
        options.project or ROOT / "workflows",
        folder / "project",
        workflows=workflows,
        environ=emulators.environment,
    )
    for file in (options.log, options.page):
        file.absolute().parent.mkdir(parents=True, exist_ok=True)
    options.log.write_text("", encoding="utf-8")
    home = digdag_home(folder, emulators.environment, secrets=SECRETS | dict(project.secrets))
    # In place of an installed package. Only the package: a project may have folders of the names of this checkout's.
    (folder / "installed").mkdir()
    (folder / "installed" / "td_pinterest_op").symlink_to(ROOT / "td_pinterest_op")
    python_path = os.pathsep.join(filter(None, [str(folder / "installed"), os.environ.get("PYTHONPATH")]))
    environ = emulators.environment | home | {"PYTHONPATH": python_path}
    return _Sandbox(project=project, emulators=emulators, environ=environ, params=options.params, log=options.log)


def _run_engine(started: tuple[list[str], Path], *, environ: Mapping[str, str], log: TextIO) -> int:
    """Run a workflow once, by a command in a folder; returns the exit code."""
    arguments, folder = started
    # The python of a py> task is the one on the PATH.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return children.run(
        arguments,
        cwd=folder,
        env=os.environ | dict(environ) | {"PATH": path},
        limit=_LONGEST,
        capture_output=False,
        stdout=log,
        stderr=subprocess.STDOUT,
    ).returncode


def _as_expected(sandbox: _Sandbox, expectations: Sequence[Expectation], *, has_failed: bool) -> bool:
    """Whether exactly the expected people are in each audience.

    Raises ValueError for an audience that is not there, unless the workflows have failed, which may be the reason.
    """
    is_right = True
    for expectation in expectations:
        try:
            audience = _expected_audience(expectation, sandbox)
        except ValueError as error:
            if not has_failed:
                raise
            say(labelled("expected", [str(error)]))
            return False
        wrong = expectation.differences(sandbox.emulators.pinterest.members_of_audience(audience.id))
        is_right = is_right and not wrong
        verdict = "; ".join(wrong) or f"exactly the {len(expectation.lines):,} people of {expectation.file}"
        say(labelled("expected", [f"audience {audience.id}: {verdict}"]))
    return is_right


def _expected_audience(expectation: Expectation, sandbox: _Sandbox) -> Audience:
    audiences = [audience for audience in sandbox.emulators.pinterest.audiences.values() if not audience.removed]
    meant = [audience for audience in audiences if expectation.audience in ("", audience.id, audience.name)]
    if len(meant) != 1:
        names = ", ".join(f'{audience.id} "{audience.name}"' for audience in audiences) or "no audience"
        raise ValueError(f"--expect AUDIENCE={expectation.file}: an id or a name is wanted; Pinterest holds {names}")
    return meant[0]


def _withhold(sandbox: _Sandbox) -> int:
    """Export once more, without some of the people; returns the exit code."""
    shutil.copy(WITHHELD, sandbox.project.folder)
    text = (
        f"Then {WITHHELD.relative_to(ROOT)}, without those who opted out and a control group of 10 %. It waits twenty "
        "seconds, since Pinterest may show a new list late:"
    )
    say(["", *wrapped(text), ""])
    code = sandbox.run(WITHHELD.name)
    say(story.audience_lines(sandbox.emulators.pinterest))
    return code


def _write_report(options: argparse.Namespace, sandbox: _Sandbox) -> None:
    """Write the page about the exports in the log, if there are any, and say where both are."""
    lines = labelled("log", [str(options.log.absolute())])
    if exports := [export for export, _ in story.find_exports(sandbox.read_log())]:
        page = options.page.absolute()
        write_report_page(page, render_page(exports, now=datetime.now(timezone.utc)))
        lines = labelled("page", [str(page)]) + lines
    say(["", *lines])


def _wait(sandbox: _Sandbox) -> None:
    say(["", "The emulators stay up; end them with Ctrl-C. For tries of your own, in another shell:", ""])
    for name, value in sandbox.environ.items():
        print(f"export {name}={shlex.quote(value)}")
    for workflow in sandbox.project.workflows:
        arguments, folder = sandbox.command_of(workflow)
        path = shlex.quote(str(Path(sys.executable).parent))
        print(f"(cd {shlex.quote(str(folder))} && PATH={path}:$PATH {shlex.join(arguments)})")
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    stopped.wait()


if __name__ == "__main__":
    sys.exit(main())
