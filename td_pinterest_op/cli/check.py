"""`td-pinterest check`: the linter for exports in workflows."""

import logging
from dataclasses import asdict
from pathlib import Path

import click

from td_pinterest_op.cli import options, screen
from td_pinterest_op.cli.lint import dig_file, rules
from td_pinterest_op.cli.lint.problems import Export
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.runtime.text import format_count


@options.command(
    "\b\nExamples:\n  td-pinterest check pinterest_export.dig\n  td-pinterest check *.dig --format github",
)
@click.argument("files", metavar="FILE.dig...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--format", "form", type=click.Choice(["text", "github"]), default="text", help="How findings are shown.")
@options.as_json
@options.quiet
def check(common: options.CommonOptions, files: tuple[Path, ...], form: str) -> int:
    """Find what is wrong with exports in workflows, without running anything.

    A finding is one line, `path:line: code: message`, and says how to fix it. The exit code is 1 if there is any.
    """
    digs = [check_workflow(file)[0] for file in files]
    every = list(dict.fromkeys(finding for dig in digs for finding in dig.findings))
    if common.as_json:
        screen.print_json([asdict(finding) | {"path": str(finding.path)} for finding in every])
    else:
        for finding in every:
            line = str(finding)
            if form == "github":  # a workflow command, with which GitHub Actions annotates the line
                path = str(finding.path).replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
                message = finding.message.replace("%", "%25")
                line = f"::{finding.level} file={path},line={finding.line},title={finding.code}::{message}"
            screen.print_line(line)
        findings = format_count(len(every), "finding") if every else "no findings"
        others = len({path for dig in digs for path in (*dig.files, *dig.queries)} - {dig.path for dig in digs})
        more = f" and {format_count(others, 'other file')}" if others else ""
        common.print_note(f"{format_count(len(digs), 'workflow')}{more}: {findings}")
    return 1 if every else 0


def check_file(file: Path) -> list[dig_file.Finding]:
    """Return the findings about a workflow file, sorted by line. Raises SettingsError for an unreadable file."""
    return check_workflow(file)[0].findings


def check_workflow(file: Path) -> tuple[dig_file.DigFile, list[Export]]:
    """Return a workflow file with its findings, sorted by line, and what its tasks would export.

    Raises SettingsError for an unreadable file.
    """
    try:
        dig = dig_file.read_workflow(file)
    except OSError as error:
        raise SettingsError(f"{file} cannot be opened: {error.strerror or type(error).__name__}") from None
    logging.disable(logging.WARNING)  # what a run would log is a finding, or no matter of the file
    try:
        exports = rules.check_workflow(dig)
    finally:
        logging.disable(logging.NOTSET)
    dig.findings.sort()
    return dig, exports
