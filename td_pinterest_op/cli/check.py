"""`td-pinterest check`: the linter for exports in workflows."""

import logging
from dataclasses import asdict
from pathlib import Path

import click

from td_pinterest_op.cli import options, screen
from td_pinterest_op.cli.lint import dig_file, rules
from td_pinterest_op.cli.lint.dig_file import DigFile, Finding
from td_pinterest_op.cli.lint.exports import Export
from td_pinterest_op.cli.options import CommonOptions
from td_pinterest_op.cli.outdated import find_outdated
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.runtime.text import format_count


@click.command(
    cls=options.Command,
    epilog="\b\nExamples:\n  td-pinterest check pinterest_export.dig\n  td-pinterest check *.dig --format github",
)
@click.argument("files", metavar="FILE.dig...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["text", "github"]), default="text", help="How findings are shown.")
@options.as_json
@click.option("--quiet", is_flag=True, help="Print nothing; only the exit code shows the result.")
@options.pass_common
def check(common: CommonOptions, files: tuple[Path, ...], form: str, quiet: bool) -> int:
    """Find what is wrong with exports in workflows, without running anything.

    A finding is one line, `path:line: code: message`, and says how to fix it. The exit code is 1 if there is any.
    """
    digs = [check_workflow(file)[0] for file in files]
    every = list(dict.fromkeys(finding for dig in digs for finding in sorted(dig.findings)))
    if common.as_json:
        screen.print_json([asdict(finding) | {"path": str(finding.path)} for finding in every])
    elif not quiet:
        for finding in every:
            screen.print_line(_format_for_github(finding) if form == "github" else str(finding))
        findings = format_count(len(every), "finding") if every else "no findings"
        others = len({path for dig in digs for path in dig.files} - {dig.path for dig in digs})
        more = f" and {format_count(others, 'other file')}" if others else ""
        screen.print_note(f"{format_count(len(digs), 'workflow')}{more}: {findings}")
    return 1 if every else 0


def check_file(file: Path) -> list[Finding]:
    """Return the findings about a workflow file, sorted by line. Raises SettingsError for an unreadable file."""
    return sorted(check_workflow(file)[0].findings)


def check_workflow(file: Path) -> tuple[DigFile, list[Export]]:
    """Return a workflow file with its findings, and what its tasks would export. Raises SettingsError."""
    try:
        dig = dig_file.read_workflow(file)
    except OSError as error:
        raise SettingsError(f"{file} cannot be opened: {error.strerror or type(error).__name__}") from None
    dig.findings += find_outdated(file.parent)
    logging.disable(logging.WARNING)  # what a run would log is a finding, or no matter of the file
    try:
        return dig, rules.check_workflow(dig)
    finally:
        logging.disable(logging.NOTSET)


def _format_for_github(finding: Finding) -> str:
    """Return a finding as a workflow command, with which GitHub Actions annotates the line."""
    path, message = (text.replace("%", "%25") for text in (str(finding.path), finding.message))
    path = path.replace(":", "%3A").replace(",", "%2C")
    return f"::{finding.level} file={path},line={finding.line},title={finding.code}::{message}"
