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
from td_pinterest_op.cli.existing_task import convert_existing_tasks
from td_pinterest_op.cli.export_task import run_export_task
from td_pinterest_op.cli.project_folder import (
    EXPORT_ACTIONS,
    PEOPLE_QUERY_FILE,
    NewProject,
    create_and_check_project,
    print_next_commands,
    require_folder_or_nothing,
    require_room_for_job,
)
from td_pinterest_op.errors import StoppedError
from td_pinterest_op.runtime import shutdown


@options.command(
    """\b
Examples:
  td-pinterest init audiences
  td-pinterest init audiences --from old/export.dig
  td-pinterest init audiences --action mirror --audience 2542620905475 --database shop --query people.sql --yes
"""
)
@click.argument("folder", type=options.PATH_TYPE)
@click.option(
    "--from",
    "existing",
    metavar="OLD.dig",
    multiple=True,
    type=options.FILE_TYPE,
    help="A workflow with td> tasks of Treasure Data's built-in Pinterest connector, which have the answers. Several "
    "tasks become a list of audiences.",
)
@click.option("--task", metavar="+NAME", default="", help="--from: the task, where a file has several.")
@click.option("--job", type=interview.INIT_JOB_CHOICE, help="The workflow.  [default: export]")
@click.option("--action", type=interview.ACTION_CHOICE, help="export: what is done to the audience.  [default: add]")
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
    dry_run: bool,
    **named: Any,
) -> int:
    """Make a project folder from your answers, or add a workflow.

    Every question has a default, and an option; --yes asks none. No file that exists is changed, and nothing is written
    before the last question is answered. The jobs audiences, activation, erasure, status and lift have a file of
    settings to fill in.
    """
    require_folder_or_nothing(folder)
    credentials = find_credentials(common.env_file)
    asks = not common.yes and screen.is_interactive()
    named["ad_account"] = common.ad_account
    if existing:
        if other := next((name for name in named if named[name] and name not in ("region", "alert")), None):
            raise click.UsageError(f"--{other.replace('_', '-')} has no effect with --from: leave it out")
        project = convert_existing_tasks(existing, task_name=task)
        project.alert = named["alert"] or ""
        project.region = named["region"] or ""
        require_room_for_job(folder, project.job)
    elif task:
        raise click.UsageError("--task has no effect without --from: leave it out")
    elif not (common.yes or asks):
        raise click.UsageError(
            "there is no terminal to ask questions on: give every answer as an option, and use --yes"
        )
    else:
        try:
            project = _run_interview(asks, named, folder, credentials, common)
        except (click.Abort, StoppedError):
            screen.print_note("\nStopped: nothing was written")  # below the question
            return 130
    query = project.queries.get(PEOPLE_QUERY_FILE, "")
    needed = (*PINTEREST_SECRETS_BY_VARIABLE, *(["TD_API_KEY"] if query else []))
    if dry_run:
        if not project.action:
            raise click.UsageError(f"--dry-run has no effect on the job {project.job.name}: leave it out")
        credentials.require_variables(*needed)
    elif project.action and credentials.sources.keys() >= set(needed) and asks:
        question = "Then try it in a dry run? Nothing is written to Pinterest"
        dry_run = click.confirm(question, default=False, err=True)
    # So that no signal is answered by "stopped" when the files are there.
    with shutdown.ignore_signals():
        is_right = create_and_check_project(folder, project, common)
        if not dry_run:
            print_next_commands(folder, project, common)
    if dry_run:
        try:
            # Only the plan is wanted, and the history keeps runs.
            settings = {**project.settings, "history": None, "dry_run": True}
            params = {"query": query, **project.td} if query else {}
            of_run = credentials.build_task(result_settings=settings, **params)
            screen.print_line(str(run_export_task(of_run, credentials, common)["summary"]))
        finally:  # the folder stays if the dry run fails
            print_next_commands(folder, project, common)
    return 0 if is_right else 1


def _run_interview(
    asks: bool, given: dict[str, Any], folder: Path, credentials: Credentials, common: options.CommonOptions
) -> NewProject:
    # The variable has the id of an existing audience, which other jobs do not use.
    is_export = given["job"] in (None, "export")
    acts_on_existing = is_export and (given["action"] or "add") in EXPORT_ACTIONS.keys() - {"create"}
    if common.yes and acts_on_existing and not given["audience"]:
        given["audience"] = credentials.environ.get("PINTEREST_AUDIENCE_ID")
    with contextlib.ExitStack() as stack:
        services = None
        if credentials.sources.keys() >= PINTEREST_SECRETS_BY_VARIABLE.keys():
            services = stack.enter_context(open_services_with_options(common))
        elif asks:
            common.print_note(
                "There are no credentials for Pinterest yet, so you must type the ids yourself. To store credentials, "
                "run `td-pinterest authorize`"
            )
        return interview.Interview(
            asks=asks,
            options=given,
            folder=folder,
            services=services,
            account_of_environment=credentials.environ.get("PINTEREST_AD_ACCOUNT_ID", ""),
            default_region=credentials.environ.get("TD_API_SERVER", ""),
        ).ask_all()
