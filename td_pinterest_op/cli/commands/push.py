"""`td-pinterest push`."""

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from td_pinterest_op import __version__
from td_pinterest_op.cli import options, screen
from td_pinterest_op.cli.project_copy import write_project_copy
from td_pinterest_op.cli.secret_target import build_authorize_command
from td_pinterest_op.errors import SettingsError, StoppedError, add_to_errors
from td_pinterest_op.runtime import shutdown

_COMMENT_LINE_PATTERN = re.compile(r"^[ \t]*(?:#|--).*$", re.MULTILINE)
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
@options.with_dependencies
@options.with_phone_numbers
@options.env_file
@options.quiet
def push(
    common: options.CommonOptions,
    project: str,
    folder: Path,
    program: str | None,
    with_dependencies: bool,
    with_phone_numbers: bool,
) -> None:
    """Push a project folder with the operator's code as PROJECT.

    First checks the workflows. A credential in plain text is an error. The code is added to a temporary copy: nothing
    is written to FOLDER. The last line says how to set the project's secrets.
    """
    program = _choose_program(program)
    server = os.environ.get("DIGDAG_ENDPOINT")
    endpoint = ["-e", server] if program == "digdag" and server else []
    with _make_temporary_folder() as copy:
        with add_to_errors(sent="Nothing was pushed"):
            checked = write_project_copy(
                folder,
                copy,
                common,
                with_dependencies=with_dependencies,
                with_phone_numbers=with_phone_numbers,
            )
        common.print_note(f"Pushing {folder} with version {__version__} of the operator as {project}")
        with add_to_errors(sent=f"Whether {project} was pushed is not known: push it again"):
            code = _run_to_its_end([*_COMMAND_BY_PROGRAM[program], "push", project, *endpoint], copy)
    if code:
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


@contextlib.contextmanager
def _make_temporary_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="td_pinterest_op-"))
    try:
        yield folder
    finally:
        with shutdown.ignore_signals():
            shutil.rmtree(folder, ignore_errors=True)


def _run_to_its_end(command: Sequence[str], folder: Path) -> int:
    """Run a program in a folder, and return its exit code. A signal ends it, and all that it has started."""
    # Signals interrupt the main thread only: there, one could arrive when the program runs and is not known yet.
    started = shutdown.start_thread(
        lambda: subprocess.Popen(command, cwd=folder, start_new_session=True)  # noqa: S603
    )
    try:
        process = shutdown.wait_for(started)
        return shutdown.wait_for(shutdown.start_thread(process.wait))
    except StoppedError:
        process = started.result()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise


def _choose_program(named: str | None) -> str:
    found = [name for name in _COMMAND_BY_PROGRAM if shutil.which(name)]
    if not found:
        raise SettingsError("there is neither td nor digdag on the PATH: install the one that you push with")
    if named and named not in found:
        raise SettingsError(f"there is no {named} command on the PATH: install it, or choose the other with --with")
    return named or found[0]
