"""`td-pinterest push`: update a project folder, check it, push it, and name the secrets that the project lacks."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click

from td_pinterest_op.cli import options, screen
from td_pinterest_op.cli.bundle import update_code
from td_pinterest_op.cli.check import check_file
from td_pinterest_op.cli.options import CommonOptions
from td_pinterest_op.errors import SettingsError

_PROGRAMS = {"td": ("td", "wf"), "digdag": ("digdag",)}
_LIMITS = (
    ", perhaps because the folder is too large. Hosted Treasure Workflow accepts an archive of at most 10 MB; a digdag "
    "server accepts files of at most 2 MB together, unless its api.max_archive_total_size_limit is greater. Move data "
    "and tests out of the folder, or name them in .digdagignore"
)
# What a digdag server accepts that sets no other limit, in bytes.
_SMALLEST_LIMIT = 2 * 1024 * 1024
_SECRET = re.compile(r"\$\{secret:\s*([^{}\s]+)\s*\}")
_COMMENT_LINE = re.compile(r"^ *#.*$", re.MULTILINE)


@click.command(
    cls=options.Command,
    epilog="\b\nExamples:\n  td-pinterest push audiences build/audiences\n"
    "  td-pinterest push audiences build/audiences --with digdag",
)
@click.argument("project")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--with",
    "program",
    type=click.Choice(list(_PROGRAMS)),
    help="The command that pushes: `td wf`, or `digdag` to the server in DIGDAG_ENDPOINT.  "
    "[default: td if there is one]",
)
@options.quiet
@options.pass_common
def push(common: CommonOptions, /, project: str, folder: Path, program: str | None) -> int:
    """Push a project folder as PROJECT, and name the secrets that the project lacks.

    First updates the operator in the folder, and checks its workflows. No secret is an argument: the last line shows
    how to set those that are missing.
    """
    program = program or ("td" if shutil.which("td") else "digdag")
    if shutil.which(program) is None:
        raise SettingsError(f"there is no {program} command on the PATH: install it, or choose the other with --with")
    if not (workflows := sorted(folder.glob("*.dig"))):
        raise SettingsError(f"{folder} has no workflow: make a project folder with `td-pinterest init {folder}`")
    if not update_code(folder):
        return 1
    found = [finding for workflow in workflows for finding in check_file(workflow)]
    findings = [finding for finding in found if finding.code != "outdated"]  # these are printed
    for finding in dict.fromkeys(findings):
        screen.print_note(str(finding))
    if findings:  # it may be about a workflow that is not used
        screen.print_note("Correct these findings before you schedule a workflow")
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files if "/." not in f"/{path.relative_to(folder).as_posix()}")
    common.print_note(f"Pushing {size:,} bytes")
    server = os.environ.get("DIGDAG_ENDPOINT")
    endpoint = ["-e", server] if program == "digdag" and server else []
    pushed = subprocess.run([*_PROGRAMS[program], "push", project, *endpoint], cwd=folder, check=False)  # noqa: S603
    if pushed.returncode:
        advice = _LIMITS if size > _SMALLEST_LIMIT else ""
        screen.print_error(f"the push of {project} failed{advice}")
        return 1
    secrets = [*_PROGRAMS[program], "secrets", "--project", project, *endpoint]
    listed = subprocess.run(secrets, cwd=folder, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603
    if listed.returncode:
        raise SettingsError(f"{project} is pushed, but its secrets cannot be listed: `{shlex.join(secrets)}` failed")
    missing = sorted(set(_find_secret_names(folder)) - set(listed.stdout.split()))
    if not missing:
        screen.print_line(f"The project {project} is pushed and has all secrets that its workflows use.")
        return 0
    screen.print_line(f"The project {project} is pushed, and lacks these secrets: {', '.join(missing)}")
    screen.print_line("Set them (each value is asked for):")
    click.echo(f"  {shlex.join([*secrets, '--set', *missing])}")  # there to be copied: it stays one line
    return 0


def _find_secret_names(folder: Path) -> Iterator[str]:
    """Yield the names of the secrets that the workflows and the configuration of a project folder use."""
    for pattern in ("*.dig", "config/*.yml"):
        for path in folder.glob(pattern):
            text = path.read_text(encoding="utf-8", errors="replace")
            yield from _SECRET.findall(_COMMENT_LINE.sub("", text))
