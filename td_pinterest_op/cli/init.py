"""`td-pinterest init`: a new project folder for one job, made by asking."""

import contextlib
from pathlib import Path
from typing import Any

import click

from td_pinterest_op.cli import options, screen
from td_pinterest_op.cli.connection import PINTEREST_SECRETS, find_credentials, open_connection
from td_pinterest_op.cli.export import run_export_task
from td_pinterest_op.cli.interview import Interview
from td_pinterest_op.cli.project_folder import (
    EXPORTS,
    OTHER_JOBS,
    create_project_folder,
    print_next_commands,
    require_new_folder,
)

_EXAMPLE = """\b
Examples:
  td-pinterest init build/audiences
  td-pinterest init build/audiences --job mirror --audience 2542620905475 --database shop --query people.sql --yes
"""


@options.command(_EXAMPLE)
@click.argument("folder", type=options.PATH)
@click.option("--job", type=click.Choice((*EXPORTS, *OTHER_JOBS)), help="What the workflow does.")
@options.ad_account
@click.option(
    "--audience",
    metavar="ID|NAME|new:NAME",
    help="The audience, or `new:` and the name of one that the workflow creates.",
)
@click.option("--begin", type=click.Choice(["replace", "adopt"]), help="mirror: what happens to those who are in it.")
@click.option("--if-exists", type=click.Choice(["fail", "add", "replace"]), help="create: what a second run does.")
@click.option("--database", help="The database of the queries and of the history.")
@click.option("--query", metavar="SQL|FILE", help="Who is exported: SQL, or a file with it.")
@click.option("--suppress", metavar="SQL|FILE", help="The people who must not be sent: SQL, or a file with it.")
@click.option("--consent", metavar="SQL|FILE", help="The only people who may be sent: SQL, or a file with it.")
@click.option("--region", metavar="ADDRESS", help="Treasure Data's API, such as https://api.eu01.treasuredata.com/.")
@click.option("--schedule", metavar="YAML", help="When the workflow runs, such as `daily>: 07:00:00`.")
@click.option("--timezone", metavar="NAME", help="The time zone of the schedule, such as Europe/Berlin.")
@click.option("--alert", metavar="mail:ADDRESS|slack", help="Who is notified of a failure.")
@click.option("--dry-run", is_flag=True, help="Then run the export up to the plan; write nothing to Pinterest.")
@options.yes
@options.env_file
@options.quiet
def init(common: options.CommonOptions, /, folder: Path, dry_run: bool, **named: Any) -> int:
    """Make a new project folder with one workflow and its files, from your answers.

    Asks for everything that no option gives; with --yes it asks nothing. The folder must be new or empty, and nothing
    is written before the last question is answered. The jobs many, activation, erase, status and lift have a file of
    settings to fill in.
    """
    require_new_folder(folder)
    if not common.yes and not screen.is_interactive():
        raise click.UsageError(
            "there is no terminal to ask questions on: give every answer as an option, and use --yes"
        )
    credentials = find_credentials(common.env_file)
    named["ad_account"] = common.ad_account or credentials.environ.get("PINTEREST_AD_ACCOUNT_ID")
    if common.yes and not named["audience"]:
        named["audience"] = credentials.environ.get("PINTEREST_AUDIENCE_ID")
    with contextlib.ExitStack() as stack:
        services = None
        if set(PINTEREST_SECRETS).isdisjoint(credentials.missing_variables):
            services = stack.enter_context(open_connection(common))
        else:
            screen.print_note(
                "There are no credentials for Pinterest yet, so you must type the ids yourself. To store credentials, "
                "run `td-pinterest authorize`"
            )
        interview = Interview(not common.yes, named, services, credentials)
        try:
            project = interview.ask_all()
        except click.Abort:
            screen.print_note("\nStopped: nothing was written")  # below the question
            return 130
    needed = (*PINTEREST_SECRETS, *(["TD_API_KEY"] if project.query else []))
    if dry_run:
        if not project.settings:
            raise click.UsageError(f"--dry-run: the settings of the job {project.job} are yet to be filled in")
        credentials.require_variables(*needed)
    elif project.settings and set(needed).isdisjoint(credentials.missing_variables):
        dry_run = interview.ask_yes_no("Then try it in a dry run? Nothing is written to Pinterest")
    is_right = create_project_folder(folder, project, common)
    try:
        if dry_run:
            # Nothing but the plan is wanted, and the history keeps runs.
            settings = {**project.settings, "history": None, "dry_run": True}
            params = {"query": project.query, **project.td} if project.query else {}
            task = credentials.build_task(result_settings=settings, **params)
            screen.print_line(str(run_export_task(task, credentials, common)["summary"]))
    finally:  # the folder stays, also if the dry run fails
        print_next_commands(folder, project, common)
    return 0 if is_right else 1
