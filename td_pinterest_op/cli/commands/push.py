"""`td-pinterest push`."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click

from td_pinterest_op.cli import options, screen
from td_pinterest_op.cli.lint.workflow_check import BUILT_IN_CONNECTOR_CODE, check_workflow
from td_pinterest_op.cli.secret_target import build_authorize_command
from td_pinterest_op.cli.shipped_files import update_code
from td_pinterest_op.errors import SettingsError, add_to_errors

_COMMENT_LINE_PATTERN = re.compile(r"^[ \t]*(?:#|--).*$", re.MULTILINE)
# Pinterest's tokens, Treasure Data's keys, and the lines of an env file.
_PLAIN_CREDENTIAL_PATTERN = re.compile(
    rb"\bpin[ar][._][\w.-]{20,}|(?<!\d)\d{1,9}/[0-9a-f]{40}\b|"
    rb"(?:PINTEREST_CLIENT_SECRET|PINTEREST_REFRESH_TOKEN|TD_API_KEY)=['\"]?[^\s'\"$#]"
)
_COMMAND_BY_PROGRAM = {"td": ("td", "wf"), "digdag": ("digdag",)}


@options.command(
    "\b\nExamples:\n  td-pinterest push audiences build/audiences\n"
    "  td-pinterest push audiences build/audiences --with digdag"
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
def push(common: options.CommonOptions, project: str, folder: Path, program: str | None) -> None:
    """Push a project folder as PROJECT.

    First updates the operator in the folder, and checks its workflows. The last line says how to set the project's
    secrets.
    """
    program = _choose_program(program)
    if not (workflows := sorted(folder.glob("*.dig"))):
        raise SettingsError(
            f"{folder} has no workflow: make a project folder with `td-pinterest init {shlex.quote(str(folder))}`"
        )
    with_secrets = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        # digdag leaves out names that begin with a dot.
        if path.is_file() and "/." not in f"/{name}" and _PLAIN_CREDENTIAL_PATTERN.search(path.read_bytes()):
            with_secrets.append(name)
    if with_secrets:
        raise SettingsError(
            f"{folder} has credentials in plain text, which everybody who can read the project would see: nothing was "
            f"pushed. Move away {', '.join(with_secrets)}; config/environment.yml shows how a task gets its secrets"
        )
    with add_to_errors(sent="Nothing was pushed"):
        update_code(folder)
    checked = [check_workflow(workflow) for workflow in workflows]
    findings = dict.fromkeys(finding for workflow in checked for finding in workflow.findings)
    for finding in findings:
        screen.print_note(str(finding))
    # The built-in connector may run beside this operator for a day.
    if any(finding.level == "error" and finding.code != BUILT_IN_CONNECTOR_CODE for finding in findings):
        raise SettingsError(f"{folder} has errors, which are named above: nothing was pushed. Correct them first")
    common.print_note(f"Pushing {folder} as {project}")
    server = os.environ.get("DIGDAG_ENDPOINT")
    endpoint = ["-e", server] if program == "digdag" and server else []
    with add_to_errors(sent=f"Whether {project} was pushed is not known: push it again"):
        pushed = subprocess.run([*_COMMAND_BY_PROGRAM[program], "push", project, *endpoint], cwd=folder, check=False)  # noqa: S603
    if pushed.returncode:
        raise SettingsError(f"the push of {project} failed, as said above")
    address = None
    look = f"; `td-pinterest doctor --project {shlex.quote(project)}` names those that it lacks"
    if program == "digdag":
        address = server or "http://127.0.0.1:65432"  # which digdag asks by default
        look = ""
        paths = {path for workflow in checked for path in workflow.files}
        used = "\n".join(
            _COMMENT_LINE_PATTERN.sub("", path.read_text(encoding="utf-8", errors="replace")) for path in paths
        )
        if "pinterest.refresh_token" in used and "DIGDAG_ENDPOINT:" not in used:
            screen.print_note(
                "No `_env` has a line DIGDAG_ENDPOINT with the server's address, as config/environment.yml shows it: a "
                "refresh token that Pinterest renews could not be stored, and would be lost"
            )
    text = f"{project} is pushed. `{build_authorize_command(project, address)}` sets its secrets for Pinterest{look}"
    click.echo(screen.replace_program_name(text))  # not wrapped: the commands are there to be copied


def _choose_program(named: str | None) -> str:
    found = [name for name in _COMMAND_BY_PROGRAM if shutil.which(name)]
    if not found:
        raise SettingsError("there is neither td nor digdag on the PATH: install the one that you push with")
    if named and named not in found:
        raise SettingsError(f"there is no {named} command on the PATH: install it, or choose the other with --with")
    return named or found[0]
