"""`td-pinterest init`."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from td_pinterest_op.cli import interview, options, screen
from td_pinterest_op.cli.connection import (
    PINTEREST_SECRETS_BY_VARIABLE,
    Credentials,
    find_credentials,
    open_services_with_options,
)
from td_pinterest_op.cli.existing_task import convert_existing_task
from td_pinterest_op.cli.export_task import run_export_task
from td_pinterest_op.cli.project_folder import (
    EXPORT_ACTIONS,
    NewProject,
    create_and_check_folder,
    print_next_commands,
    require_new_folder,
)
from td_pinterest_op.errors import StoppedError


@options.command(
    """\b
Examples:
  td-pinterest init build/audiences
  td-pinterest init build/audiences --from old/export.dig
  td-pinterest init build/audiences --job mirror --audience 2542620905475 --database shop --query people.sql --yes
"""
)
@click.argument("folder", type=options.PATH_TYPE)
@click.option(
    "--from",
    "existing",
    metavar="OLD.dig",
    multiple=True,
    type=options.FILE_TYPE,
    help="A workflow whose task, of Treasure Data's built-in connector or of version 0.5, has the answers. Of several, "
    "the first becomes pinterest_export.dig.",
)
@click.option("--task", metavar="+NAME", default="", help="--from: the task, where a file has several exports.")
@click.option("--entry", metavar="NAME", default="", help="--from: an entry of the task's list of audiences.")
@click.option("--job", type=interview.INIT_JOB_CHOICE, help="What the workflow does.")
@options.ad_account
@click.option(
    "--audience",
    metavar="ID|NAME|new:NAME",
    help="The audience, or `new:` and the name of one that the workflow creates.",
)
@click.option("--begin", type=interview.BEGIN_CHOICE, help="mirror: what happens to the people in the audience.")
@click.option("--if-exists", type=interview.IF_EXISTS_CHOICE, help="create: what a second run does.")
@click.option("--database", help="The database of the queries and of the history.")
@click.option("--query", metavar="SQL|FILE", help="Who is exported: SQL, or a file with it.")
@click.option("--suppress", metavar="SQL|FILE", help="The people who must not be sent: SQL, or a file with it.")
@click.option("--consent", metavar="SQL|FILE", help="The only people who may be sent: SQL, or a file with it.")
@click.option(
    "--region",
    metavar="ADDRESS",
    type=interview.parse_region_address,
    help="Treasure Data's API, such as https://api.eu01.treasuredata.com/.",
)
@click.option(
    "--schedule",
    metavar="YAML",
    type=interview.parse_schedule,
    help="When the workflow runs, such as `daily>: 07:00:00`.",
)
@click.option(
    "--timezone",
    metavar="NAME",
    type=interview.parse_timezone,
    help="The time zone of the schedule, such as Europe/Berlin.",
)
@click.option("--alert", metavar="mail:ADDRESS|slack", type=interview.parse_alert, help="Who is notified of a failure.")
@click.option("--dry-run", is_flag=True, help="Then run the export up to the plan; write nothing to Pinterest.")
@options.yes
@options.env_file
@options.quiet
def init(
    common: options.CommonOptions,
    folder: Path,
    existing: Sequence[Path],
    task: str,
    entry: str,
    dry_run: bool,
    **named: Any,
) -> int:
    """Make a new project folder with one workflow and its files, from your answers.

    Asks for everything that no option gives; with --yes it asks nothing. The folder must be new or empty, and nothing
    is written before the last question is answered. The jobs many, activation, erase, status and lift have a file of
    settings to fill in.
    """
    require_new_folder(folder)
    credentials = find_credentials(common.env_file)
    asks = not common.yes and screen.is_interactive()
    if existing:
        if other := next((name for name in named if named[name] and name not in ("region", "alert")), None):
            raise click.UsageError(f"--{other.replace('_', '-')} has no effect beside --from: leave it out")
        projects = [convert_existing_task(path, task_name=task, entry_name=entry) for path in existing]
        for path, project in zip(existing, projects, strict=True):
            project.name = "" if project is projects[0] else path.stem
            project.alert = named["alert"] or ""
            if named["region"]:
                project.environment["TD_API_SERVER"] = named["region"]
    elif task or entry:
        raise click.UsageError("--task and --entry have no effect without --from: leave them out")
    elif not (common.yes or asks):
        raise click.UsageError(
            "there is no terminal to ask questions on: give every answer as an option, and use --yes"
        )
    else:
        try:
            projects = [_run_interview(asks, named, credentials, common)]
        except (click.Abort, StoppedError):
            screen.print_note("\nStopped: nothing was written")  # below the question
            return 130
    exports = [project for project in projects if project.job in EXPORT_ACTIONS]
    needed = (*PINTEREST_SECRETS_BY_VARIABLE, *(["TD_API_KEY"] if any(project.query for project in exports) else []))
    if dry_run:
        if not exports:
            raise click.UsageError(f"--dry-run has no effect on the job {projects[0].job}: leave it out")
        credentials.require_variables(*needed)
    elif exports and credentials.sources.keys() >= set(needed) and asks:
        question = "Then try it in a dry run? Nothing is written to Pinterest"
        dry_run = click.confirm(question, default=False, err=True)
    is_right = create_and_check_folder(folder, projects, common)
    try:
        for project in exports if dry_run else ():
            # Only the plan is wanted, and the history keeps runs.
            settings = {**project.settings, "history": None, "dry_run": True}
            params = {"query": project.query, **project.td, **project.parameters} if project.query else {}
            of_run = credentials.build_task(result_settings=settings, **params)
            screen.print_line(str(run_export_task(of_run, credentials, common)["summary"]))
    finally:  # the folder stays if the dry run fails
        print_next_commands(folder, projects[0], common)
    return 0 if is_right else 1


def _run_interview(
    asks: bool, given: dict[str, Any], credentials: Credentials, common: options.CommonOptions
) -> NewProject:
    given["ad_account"] = common.ad_account or credentials.environ.get("PINTEREST_AD_ACCOUNT_ID")
    # The variable has the id of an existing audience, which other jobs do not use.
    acts_on_existing = (given["job"] or "add") in EXPORT_ACTIONS.keys() - {"create"}
    if common.yes and acts_on_existing and not given["audience"]:
        given["audience"] = credentials.environ.get("PINTEREST_AUDIENCE_ID")
    with contextlib.ExitStack() as stack:
        services = None
        if credentials.sources.keys() >= PINTEREST_SECRETS_BY_VARIABLE.keys():
            services = stack.enter_context(open_services_with_options(common))
        else:
            screen.print_note(
                "There are no credentials for Pinterest yet, so you must type the ids yourself. To store credentials, "
                "run `td-pinterest authorize`"
            )
        region = credentials.environ.get("TD_API_SERVER", "")
        return interview.Interview(asks, given, services, region).ask_all()
