"""`td-pinterest push`: update a project folder, check it, push it, and name the secrets that the project lacks."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click

from td_pinterest_op.cli import options, screen
from td_pinterest_op.cli.connection import PINTEREST_SECRETS_BY_VARIABLE
from td_pinterest_op.cli.lint.rules import BUILT_IN_CONNECTOR_CODE, check_workflow
from td_pinterest_op.cli.secret_target import build_authorize_command
from td_pinterest_op.cli.shipped_files import COMMENT_LINE_PATTERN, update_code
from td_pinterest_op.errors import SettingsError, extend_errors

_SECRET_REFERENCE_PATTERN = re.compile(r"\$\{secret:\s*([^{}\s]+)\s*\}")
# Pinterest's tokens, Treasure Data's keys, and the lines of an env file.
_PLAIN_CREDENTIAL_PATTERN = re.compile(
    rb"\bpin[ar][._][\w.-]{20,}|(?<!\d)\d{1,9}/[0-9a-f]{40}\b|"
    rb"(?:PINTEREST_CLIENT_SECRET|PINTEREST_REFRESH_TOKEN|TD_API_KEY)=['\"]?[^\s'\"$#]"
)
_COMMAND_BY_PROGRAM = {"td": ("td", "wf"), "digdag": ("digdag",)}
_DEFAULT_DIGDAG_SERVER = "http://127.0.0.1:65432"  # the server that the digdag command asks by default
# What a server may refuse: on hosted Treasure Workflow more bytes when packed, on a digdag server when unpacked.
_LARGEST_SIZE_BY_PROGRAM = {"td": 10_000_000, "digdag": 2_097_152}
_SIZE_LIMIT_ADVICE = (
    " The folder may be too large: hosted Treasure Workflow accepts an archive of at most 10 MB; a digdag server "
    "accepts files of at most 2 MB together, unless its api.max_archive_total_size_limit is greater. Move data and "
    "tests out of the folder, or name them in .digdagignore"
)


@options.command(
    "\b\nExamples:\n  td-pinterest push audiences build/audiences\n"
    "  td-pinterest push audiences build/audiences --with digdag",
)
@click.argument("project")
@click.argument("folder", type=options.PATH_TYPE)
@click.option(
    "--with",
    "program",
    type=click.Choice(list(_COMMAND_BY_PROGRAM)),
    help="The command that pushes: `td wf`, or `digdag` to the server in DIGDAG_ENDPOINT.  "
    "[default: td if there is one]",
)
@options.quiet
def push(common: options.CommonOptions, /, project: str, folder: Path, program: str | None) -> None:
    """Push a project folder as PROJECT, and name the secrets that the project lacks.

    First updates the operator in the folder, and checks its workflows. No secret is an argument: the last lines
    show how to set those that are missing.
    """
    program = _choose_program(program)
    if not (workflows := sorted(folder.glob("*.dig"))):
        raise SettingsError(
            f"{folder} has no workflow: make a project folder with `td-pinterest init {shlex.quote(str(folder))}`"
        )
    # digdag leaves out names that begin with a dot.
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    names = [name for name in names if "/." not in f"/{name}"]
    if with_secrets := [name for name in names if _PLAIN_CREDENTIAL_PATTERN.search((folder / name).read_bytes())]:
        raise SettingsError(
            f"{folder} has credentials in plain text, which everybody who can read the project would see: nothing was "
            f"pushed. Move away {', '.join(with_secrets)}; a workflow gets them as ${{secret:…}}"
        )
    with extend_errors(". Nothing was pushed"):
        update_code(folder)
    checked = [check_workflow(workflow)[0] for workflow in workflows]
    findings = dict.fromkeys(finding for workflow in checked for finding in workflow.findings)
    for finding in findings:
        screen.print_note(str(finding))
    # The old connector may run beside this operator for a day.
    if any(finding.level == "error" and finding.code != BUILT_IN_CONNECTOR_CODE for finding in findings):
        raise SettingsError(f"{folder} has errors, which are named above: nothing was pushed. Correct them first")
    common.print_note(f"Pushing {folder} as {project}")
    server = os.environ.get("DIGDAG_ENDPOINT")
    endpoint = ["-e", server] if program == "digdag" and server else []
    with extend_errors(f". Whether {project} was pushed is not known: push it again"):
        pushed = subprocess.run([*_COMMAND_BY_PROGRAM[program], "push", project, *endpoint], cwd=folder, check=False)  # noqa: S603
    if pushed.returncode:
        where = "" if server or program == "td" else " DIGDAG_ENDPOINT is not set, so digdag asked this machine."
        size = sum((folder / name).stat().st_size for name in names)
        advice = _SIZE_LIMIT_ADVICE if size > _LARGEST_SIZE_BY_PROGRAM[program] else ""
        raise SettingsError(f"the push of {project} failed, as said above.{where}{advice}")
    secrets = [*_COMMAND_BY_PROGRAM[program], "secrets", "--project", project, *endpoint]
    with extend_errors(f". {project} is pushed: push it again to see which secrets it lacks"):
        listed = subprocess.run(secrets, cwd=folder, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603
    if listed.returncode:
        raise SettingsError(f"{project} is pushed, but its secrets cannot be listed: `{shlex.join(secrets)}` failed")
    paths = {path for workflow in checked for path in workflow.files}
    text = "\n".join(
        COMMENT_LINE_PATTERN.sub("", path.read_text(encoding="utf-8", errors="replace")) for path in sorted(paths)
    )
    if program == "digdag" and "pinterest.refresh_token" in text and "DIGDAG_ENDPOINT:" not in text:
        screen.print_note(
            "No `_env` has a line DIGDAG_ENDPOINT with the server's address, as config/environment.yml shows it: a "
            "refresh token that Pinterest renews could not be stored, and would be lost"
        )
    missing = sorted(set(_SECRET_REFERENCE_PATTERN.findall(text)) - set(listed.stdout.split()))
    if not missing:
        screen.print_line(f"The project {project} is pushed and has all secrets that its workflows use.")
        return
    screen.print_line(f"The project {project} is pushed, and lacks these secrets: {', '.join(missing)}")
    screen.print_line("Set them:")
    # Each command is there to be copied: it stays one line.
    if others := [name for name in missing if name not in PINTEREST_SECRETS_BY_VARIABLE.values()]:
        command = shlex.join([*secrets, "--set", *others])
        click.echo(f"  {command}")
    if len(others) < len(missing):
        server = None if program == "td" else server or _DEFAULT_DIGDAG_SERVER
        command = screen.replace_program_name(build_authorize_command(project, server))
        click.echo(f"  {command}")


def _choose_program(named: str | None) -> str:
    """Return the command that pushes: the `named` one, or else td, or else digdag. Raises SettingsError without it."""
    found = [name for name in _COMMAND_BY_PROGRAM if shutil.which(name)]
    if not found:
        raise SettingsError("there is neither td nor digdag on the PATH: install the one that you push with")
    if named and named not in found:
        raise SettingsError(f"there is no {named} command on the PATH: install it, or choose the other with --with")
    return named or found[0]
