"""A project folder for one job: laid out by the bundle, then filled in."""

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from td_pinterest_op.cli import screen
from td_pinterest_op.cli.check import check_file
from td_pinterest_op.cli.fill_in import Fill, build_fills
from td_pinterest_op.cli.jobs import Answers
from td_pinterest_op.cli.lint import dig_file
from td_pinterest_op.cli.lint.settings import find_export_settings
from td_pinterest_op.cli.options import CommonOptions
from td_pinterest_op.errors import WorkflowError
from td_pinterest_op.redaction.format import sanitize
from td_pinterest_op.runtime import atomic_file

ROOT = Path(__file__).parent.parent.parent
TEMPLATES = ROOT / "workflows"
_MAXIMUM_SECONDS = 300


def create_project_folder(folder: Path, answers: Answers, common: CommonOptions) -> bool:
    """Write a project folder and check its workflow. Return whether the check found no error."""
    if kept := _write_project_folder(folder, answers):
        names = ", ".join(kept)
        common.print_note(
            f"left unchanged, because somebody filled them in or changed them: {names}. They do not contain "
            "your new answers"
        )
    findings = check_file(folder / answers.job.workflow)
    for finding in findings:
        screen.print_note(str(finding))
    common.print_note(f"{folder} contains {answers.job.workflow} and everything that it needs")
    return not any(finding.level == "error" for finding in findings)


def print_next_commands(folder: Path, answers: Answers, common: CommonOptions) -> None:
    """Print the commands to run next, one per line."""
    common.print_note("Next:")
    for command in () if common.quiet else _list_next_commands(folder, answers):
        click.echo(f"  {command}", err=True)  # it is there to be copied, and stays one line


def _list_next_commands(folder: Path, answers: Answers) -> Sequence[str]:
    """Return the commands to run next: run the workflow, push it, look at its audience."""
    place, name, scripts = (
        shlex.quote(str(folder)),
        shlex.quote(folder.resolve().name),
        _format_shell_path(ROOT / "scripts"),
    )
    exports = find_export_settings(dig_file.read_workflow(folder / answers.job.workflow))
    ids = [value for each in exports for key, value in each.items() if key.startswith("audience_id") and value]
    warning = "   # creates the audience: a second run, of the pushed workflow too, is refused"
    once = warning if answers.job.creates_audience else ""
    return (
        f"(cd {place} && digdag run {answers.job.workflow} --rerun -p py.python={shlex.quote(sys.executable)}){once}",
        f"{scripts}/push {name} {place}   # then `{scripts}/td-pinterest authorize --to td {name}`",
        f"{scripts}/td-pinterest {f'audience {ids[0]}' if len(ids) == 1 else 'audiences'}   # the day after",
    )


def _format_shell_path(path: Path) -> str:
    """Return a path, quoted for a shell, and relative if it is in the working folder."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


def _write_project_folder(folder: Path, answers: Answers) -> list[str]:
    """Write a project folder and fill in its files. Return the files left unchanged, since somebody edited them.

    Raises WorkflowError where there is no checkout, and what is wrong with the folder.
    """
    bundle, fills = ROOT / "scripts" / "bundle.py", build_fills(answers)
    if not bundle.is_file():
        raise WorkflowError(
            "`init` needs a checkout of td_pinterest_op, which has the workflows: clone it, and run `init` there"
        )
    templates = {name: (TEMPLATES / name).read_text(encoding="utf-8") for name in fills}
    # An answer that cannot be filled in is an error before anything is written.
    for name, fill in fills.items():
        fill(templates[name], templates[name])
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, bundle, folder, answers.job.workflow],
        capture_output=True,
        text=True,
        timeout=_MAXIMUM_SECONDS,
        check=False,
    )
    if done.returncode:
        raise WorkflowError(f"the folder {folder} cannot be created: {sanitize(done.stderr.strip(), longest=600)}")
    return [name for name, fill in fills.items() if not _fill_file(folder / name, templates[name], fill)]


def _fill_file(path: Path, template: str, fill: Fill) -> bool:
    """Fill in a file, except what somebody has changed. Return whether the file now has all answers."""
    # The bundle lays out only what the workflow names before it is filled in.
    text = path.read_text(encoding="utf-8") if path.exists() else template
    filled = fill(text, template)
    if filled != text or not path.exists():
        atomic_file.replace_file(path, filled, mode=0o644)
    return _list_code_lines(filled) >= _list_code_lines(fill(template, template)) - _list_code_lines(template)


def _list_code_lines(text: str) -> set[str]:
    """Return the set of a file's lines, without comments, blank lines and indentation."""
    return {line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")}
