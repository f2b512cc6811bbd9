"""The program: its commands, and the one place where an exception becomes a message and an exit code."""

# To add a command:
# 1. Test what it prints (a file in tests/e2e/cli, a table also in test_terminal.py there). If it exchanges a token in
#    another way, add it to test_signals.py there.
# 2. Write a module in cli/commands, whose function has the decorator `options.command` with an example. What commands
#    share is in cli/. It reaches Pinterest by `open_services_with_options` and `build_ad_account_api`
#    (cli/connection.py). A new request: pinterest/api.py.
# 3. Import it below, and add it to `program`.
# 4. Run `python -m tests.readme` and `python -m tests.public_surface`. Add it to the first table of
#    docs/command-line.md.
# To add an option: the command's module (one of several commands: cli/options.py) and its file in tests/e2e/cli or
# tests/unit/cli, then both runs of step 4.
import logging
from collections.abc import Sequence

import click

from td_pinterest_op import __version__
from td_pinterest_op.cli import screen
from td_pinterest_op.cli.bundled_code import SHIPPED_FILES_FOLDER
from td_pinterest_op.cli.commands.authorize import authorize
from td_pinterest_op.cli.commands.bundle import bundle
from td_pinterest_op.cli.commands.check import check
from td_pinterest_op.cli.commands.doctor import doctor
from td_pinterest_op.cli.commands.explain import explain
from td_pinterest_op.cli.commands.export import export
from td_pinterest_op.cli.commands.init import init
from td_pinterest_op.cli.commands.listing import accounts, audience, audiences, lists
from td_pinterest_op.cli.commands.push import push
from td_pinterest_op.cli.commands.rehearse import rehearse
from td_pinterest_op.cli.commands.report import report
from td_pinterest_op.cli.commands.sql import sql
from td_pinterest_op.errors import ExportError
from td_pinterest_op.runtime import shutdown

log = logging.getLogger("td_pinterest_op")
_MESSAGE_HANDLER = screen.MessageHandler()


@click.group(
    commands=[
        accounts,
        audience,
        audiences,
        authorize,
        bundle,
        check,
        doctor,
        explain,
        export,
        init,
        lists,
        push,
        rehearse,
        report,
        sql,
    ],
    epilog=f"""\b
Examples:
  td-pinterest authorize --to local
  td-pinterest doctor
  td-pinterest export --settings export.yml --query people.sql --database shop --dry-run

\b
Pages: {SHIPPED_FILES_FOLDER / "docs"}
""",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="td-pinterest")
@click.pass_context
def program(context: click.Context) -> None:
    """Export people from Treasure Data to Pinterest audiences, and set up, check and report on exports."""
    if context.invoked_subcommand is None:
        screen.print_note(context.get_help())
        context.exit(2)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, print its error, if any, and return the exit code.

    0: done. 1: the command ran and something is wrong. 2: wrong usage. As in shells, 130: Ctrl-C, 143: SIGTERM, and
    141: the reader of the output has closed it.
    """
    log.addHandler(_MESSAGE_HANDLER)
    log.setLevel(logging.INFO)
    with screen.tolerate_stream_errors(), shutdown.end_on_signals() as signals:
        code = _run_command(arguments)
    return 128 + signals[0] if signals else code


def _run_command(arguments: Sequence[str] | None) -> int:
    try:
        code = program.main(args=arguments, prog_name="td-pinterest", standalone_mode=False)
    except click.ClickException as error:
        screen.print_error(error.format_message())
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):  # the end of the input, at a question
        screen.print_note()  # ends the question's line
        screen.print_error("Stopped: nothing more will be done. Running the command again is safe")
        return 130
    except SystemExit:  # click's way of saying that nobody reads the output
        return 141
    except Exception as error:
        if shutdown.is_requested() and screen.is_interactive():
            screen.print_note()  # ends the line with the question, or with the terminal's ^C
        screen.print_error(str(ExportError.from_exception(error)))
        return 1
    return code if isinstance(code, int) else 0
