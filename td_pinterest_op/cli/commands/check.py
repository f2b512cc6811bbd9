"""`td-pinterest check`."""

from dataclasses import asdict
from pathlib import Path

import click

from td_pinterest_op.cli import options, screen
from td_pinterest_op.cli.lint.workflow_check import check_workflow
from td_pinterest_op.runtime.text import format_count


@options.command("\b\nExamples:\n  td-pinterest check pinterest_export.dig\n  td-pinterest check *.dig --format github")
@click.argument("files", metavar="FILE.dig...", nargs=-1, required=True, type=options.PATH_TYPE)
@click.option("--format", "form", type=click.Choice(["text", "github"]), default="text", help="How findings are shown.")
@options.as_json
@options.quiet
def check(common: options.CommonOptions, files: tuple[Path, ...], form: str) -> int:
    """Check workflows for what a run would refuse or warn of.

    A finding is one line, `path:line: code: message`, and says how to fix it. The exit code is 1 if one is an error.
    Nothing is run or contacted, and nothing outside the folder of a workflow is read.
    """
    workflows = [check_workflow(file) for file in files]
    every = list(dict.fromkeys(finding for workflow in workflows for finding in workflow.findings))
    if common.as_json:
        screen.print_json([asdict(finding) | {"path": str(finding.path)} for finding in every])
    else:
        for finding in every:
            line = str(finding)
            if form == "github":  # GitHub Actions shows it at the line
                path = str(finding.path).replace("%", "%25").replace(":", "%3A").replace(",", "%2C")
                message = finding.message.replace("%", "%25")
                line = f"::{finding.level} file={path},line={finding.line},title={finding.code}::{message}"
            screen.print_line(line)
        findings = format_count(len(every), "finding") if every else "no findings"
        tasks = format_count(sum(each.task_count for each in workflows), "task")
        others = len({path for each in workflows for path in each.files}.difference(files))
        more = f" and {format_count(others, 'other file')}" if others else ""
        unknown = sum(each.unknown_count for each in workflows)
        not_judged = f". Values with `${{…}}` are known only to a run, and not judged: {unknown}" if unknown else ""
        common.print_note(
            f"{format_count(len(files), 'workflow')} with {tasks} of this operator{more}: {findings}{not_judged}"
        )
    return 1 if any(finding.level == "error" for finding in every) else 0
