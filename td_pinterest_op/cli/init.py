"""`td-pinterest init`: a new project folder for one job, made by asking."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from td_pinterest_op.activation import LATER_RUNS
from td_pinterest_op.cli import options, screen
from td_pinterest_op.cli.connection import PINTEREST_SECRETS, find_credentials, open_connection
from td_pinterest_op.cli.export import run_export_task
from td_pinterest_op.cli.interview import Interview
from td_pinterest_op.cli.lint.rules import check_workflow
from td_pinterest_op.cli.project_folder import create_project_folder, print_next_commands, require_new_folder
from td_pinterest_op.cli.workflow_kinds import KINDS
from td_pinterest_op.erase import erase_people
from td_pinterest_op.runtime.clock import SYSTEM

_EXAMPLE = """\b
Examples:
  td-pinterest init build/audiences
  td-pinterest init build/audiences --job mirror --audience 2542620905475 --database shop --query people.sql --yes
"""
# The kinds of workflow without a dry run.
_NOT_TO_BE_TRIED = {"activation": "only Audience Studio starts an activation", "lift": "a comparison sends nobody"}


@options.command(_EXAMPLE)
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--job", type=click.Choice(tuple(KINDS)), help="What the workflow does.")
@options.ad_account
@click.option(
    "--audience",
    "audiences",
    multiple=True,
    metavar="ID|NAME|new:NAME",
    help="The audience, or `new:` and the name of one that the workflow creates; repeat it for the job `many`.",
)
@click.option("--begin", type=click.Choice(["replace", "adopt"]), help="mirror: what happens to those who are in it.")
@click.option("--if-exists", type=click.Choice(["fail", "add", "replace"]), help="create: what a second run does.")
@click.option(
    "--later-runs",
    type=click.Choice(tuple(LATER_RUNS)),
    help="activation: what every run but the first does with the audience.",
)
@click.option("--database", help="The database of the queries and of the history.")
@click.option("--query", metavar="SQL|FILE", help="Who is exported: SQL, or a file with it.")
@click.option("--suppress", metavar="SQL|FILE", help="The people who must not be sent: SQL, or a file with it.")
@click.option("--consent", metavar="SQL|FILE", help="The only people who may be sent: SQL, or a file with it.")
@click.option(
    "--control",
    metavar="YAML",
    help="lift: the export's `control`, such as {percent: 10, salt: spring, by: customer_id}.",
)
@click.option(
    "--conversions",
    metavar="TABLE[,KEY,TIME]",
    help="lift: the table of conversions, its column with the key of a person, and its column with the time.",
)
@click.option("--start", metavar="DAY", help="lift: the first day that counts (UTC), such as 2026-11-25.")
@click.option("--status", is_flag=True, help="Add a workflow that reads the audience's status a day later.")
@click.option("--alert", metavar="mail:ADDRESS|slack", help="Who is notified of a failure.")
@click.option("--dry-run", is_flag=True, help="Then run its export up to the plan; write nothing to Pinterest.")
@options.yes
@options.env_file
@options.quiet
def init(
    common: options.CommonOptions, /, folder: Path, audiences: tuple[str, ...], dry_run: bool, **named: Any
) -> int:
    """Make a new project folder with one workflow and its files, from your answers.

    Asks for everything that no option gives; with --yes it asks nothing. The folder must be new or empty, and nothing
    is written before the last question is answered.
    """
    require_new_folder(folder)
    if not common.yes and not screen.is_interactive():
        raise click.UsageError(
            "there is no terminal to ask questions on: give every answer as an option, and use --yes"
        )
    credentials = find_credentials(common.env_file)
    named["ad_account"] = common.ad_account or credentials.environ.get("PINTEREST_AD_ACCOUNT_ID")
    named["audience"] = ",".join(audiences) or None
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
        answers = interview.ask_all()
    name = answers.kind.name
    needed = (*PINTEREST_SECRETS, *(["TD_API_KEY"] if answers.query else []))
    if dry_run and name in _NOT_TO_BE_TRIED:
        raise click.UsageError(f"--dry-run: {_NOT_TO_BE_TRIED[name]}; leave it out")
    if dry_run:
        credentials.require_variables(*needed)
    elif name not in _NOT_TO_BE_TRIED and set(needed).isdisjoint(credentials.missing_variables):
        question = "Then try it in a dry run? Nothing is written to Pinterest"
        dry_run = interview.ask_yes_no(question, default=name == "erase")  # which touches every list
    is_right = create_project_folder(folder, answers, common)
    texts = {option: getattr(answers, option) for option in ("query", "database")}
    params = {option: text for option, text in texts.items() if text}
    try:
        for export in check_workflow(folder / answers.kind.workflow)[1] if dry_run else ():
            # Nothing but the plan is wanted, and the history keeps runs.
            known = {key: value for key, value in export.settings.items() if value is not None and key != "history"}
            task = credentials.build_task(result_settings={**known, "dry_run": True}, **params)
            statistics: Mapping[str, Any]
            if name == "erase":
                with screen.print_waits(quiet=common.quiet):
                    statistics = erase_people(task, SYSTEM)
            else:
                statistics = run_export_task(task, credentials, common)
            screen.print_line(str(statistics["summary"]))
    finally:  # the folder stays, also if the dry run fails
        print_next_commands(folder, answers, common)
    return 0 if is_right else 1
