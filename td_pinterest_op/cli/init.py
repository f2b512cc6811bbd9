"""`td-pinterest init`: a project folder for one job, made by asking."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from td_pinterest_op.cli import files, options, screen
from td_pinterest_op.cli.ad_accounts import list_ad_accounts
from td_pinterest_op.cli.connection import (
    PINTEREST_SECRETS,
    Connection,
    Credentials,
    find_credentials,
    open_connection,
    require_id,
)
from td_pinterest_op.cli.export import run_export_task
from td_pinterest_op.cli.jobs import JOBS, ProjectAnswers, WorkflowKind, is_writable_name
from td_pinterest_op.cli.lint import dig_file
from td_pinterest_op.cli.lint.settings import find_export_settings
from td_pinterest_op.cli.options import CommonOptions
from td_pinterest_op.cli.project_folder import create_project_folder, print_next_commands
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.pinterest.api import Api
from td_pinterest_op.redaction.secret import escape
from td_pinterest_op.settings.table import CREDENTIALS
from td_pinterest_op.settings.types import AUDIENCE_ID, WrongValueError
from td_pinterest_op.workflow.services import Services
from td_pinterest_op.workflow.task import Task, read_database

_EXAMPLE = """\b
Examples:
  td-pinterest init build/audiences
  td-pinterest init build/audiences --job mirror --audience 2542620905475 --database shop --query people.sql --yes
"""
_T = TypeVar("_T")
_SHOWN = 20
_SECRETS = frozenset(key.name for key in CREDENTIALS)


@click.command(cls=options.Command, epilog=_EXAMPLE)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("build") / "audiences")
@click.option("--job", type=click.Choice(tuple(JOBS)), help="What the workflow does.")
@options.ad_account
@click.option(
    "--audience", "audiences", multiple=True, metavar="ID|NAME", help="The audience; repeat it for the job `many`."
)
@click.option("--database", help="The database of the queries.")
@click.option("--query", metavar="SQL|FILE", help="Who is exported: SQL, or a file with it.")
@click.option("--suppress", metavar="SQL|FILE", help="The people who must not be sent: SQL, or a file with it.")
@click.option("--consent", metavar="SQL|FILE", help="The only people who may be sent: SQL, or a file with it.")
@click.option("--alert", metavar="mail:ADDRESS|slack", help="Who is notified of a failure.")
@click.option("--dry-run", is_flag=True, help="Then run the export up to its plan; write nothing to Pinterest.")
@options.yes
@options.combine_options(options.env_file, options.quiet)
@options.pass_common
def init(common: CommonOptions, /, folder: Path, **named: Any) -> int:
    """Create a project folder with one workflow and its files, and fill in your answers.

    Asks for everything that no option gives; with --yes it asks nothing. Files that you have changed stay
    unchanged. Nothing is written before the last question is answered.
    """
    questions = _Questions(asks=not common.yes)
    credentials = find_credentials(common.env_file)
    named["ad_account"] = common.ad_account or credentials.environ.get("PINTEREST_AD_ACCOUNT_ID")
    with _open_optional_connection(common, credentials) as connection:
        answers = _ask_all_questions(questions, named, connection.services if connection else None)
    # Ctrl-C at any question leaves nothing behind: all are asked before the folder is made.
    is_wanted = answers.job.has_known_settings and _confirm_dry_run(questions, answers, credentials, named["dry_run"])
    is_right = create_project_folder(folder, answers, common)
    if is_wanted:
        _dry_run_exports(folder, answers, credentials, common)
    print_next_commands(folder, answers, common)
    return 0 if is_right else 1


def _confirm_dry_run(
    questions: "_Questions", answers: ProjectAnswers, credentials: Credentials, is_requested: bool
) -> bool:
    """Return whether to do a dry run, because an option or the user wants it. Asks only if no secret is missing."""
    can_run = not {*_list_needed_secrets(answers)} & {*credentials.missing_variables}
    return is_requested or (
        can_run and questions.ask_yes_no("Then try it in a dry run? Nothing is written to Pinterest")
    )


def _list_needed_secrets(answers: ProjectAnswers) -> Sequence[str]:
    """Return the environment variables of the secrets that a dry run of the project needs."""
    return (*PINTEREST_SECRETS, *(["TD_API_KEY"] if answers.query else []))


def _dry_run_exports(folder: Path, answers: ProjectAnswers, credentials: Credentials, common: CommonOptions) -> None:
    """Do a dry run of each export in the new project folder, and print the summary of each."""
    credentials.require_variables(*_list_needed_secrets(answers))
    texts = {"query": answers.job.query, "suppress": "suppressed.sql", "consent": "consented.sql"}
    params = {
        name: files.read_text(folder / "queries" / str(file), name)
        for name, file in texts.items()
        if getattr(answers, name)
    }
    params |= {"database": answers.database} if params else {}
    for settings in find_export_settings(dig_file.read_workflow(folder / answers.job.workflow)):
        # Nothing but the plan is wanted: the history keeps runs, and the secrets come from the environment.
        left_out = {"history", *_SECRETS}
        known = {name: value for name, value in settings.items() if value is not None and name not in left_out}
        task = credentials.build_task(result_settings={**known, "dry_run": True}, **params)
        screen.print_line(str(run_export_task(task, credentials, common)["summary"]))


def _open_optional_connection(
    common: CommonOptions, credentials: Credentials
) -> contextlib.AbstractContextManager[Connection | None]:
    """Return a context manager that opens a Connection, or yields None if Pinterest's credentials are absent."""
    if any(name in credentials.missing_variables for name in PINTEREST_SECRETS):
        screen.print_note(
            "There are no credentials for Pinterest yet, so you must type the ids yourself. To store credentials, run "
            "`td-pinterest authorize`"
        )
        return contextlib.nullcontext()
    return open_connection(common)


class _Questions:
    """Asks the user questions at the terminal. If `asks` is false, it takes the default answers instead."""

    def __init__(self, *, asks: bool) -> None:
        self._asks = asks
        if asks and not screen.is_interactive():
            raise click.UsageError(
                "there is no terminal to ask questions on: give every answer as an option, and use --yes"
            )

    def get_answer(
        self,
        question: str,
        option_value: str | None,
        read: Callable[[str], _T],
        *,
        option: str = "",
        default: str | None = None,
    ) -> _T:
        """Return what `read` makes of the option's value, else of the user's answer, else of the default.

        After a wrong answer at the terminal, the question is asked again. Raises click.UsageError if there is no
        answer, and the errors of `read` (click.UsageError or SettingsError) if the option's value is wrong.
        """
        if option_value is not None or not self._asks:
            if (text := default if option_value is None else option_value) is None:
                raise click.UsageError(f"{question}: give {option}")
            return read(text.strip())
        while True:
            text = click.prompt(question, default=default, err=True, show_default=bool(default))
            try:
                return read(text.strip())
            except (click.UsageError, SettingsError) as error:
                screen.print_note(error.message if isinstance(error, click.UsageError) else str(error))

    def ask_yes_no(self, question: str) -> bool:
        """Return the user's answer to a yes-or-no question, or False if no questions are asked."""
        return self._asks and click.confirm(question, err=True)

    def choose_workflow_kind(self, name: str | None) -> WorkflowKind:
        """Return the kind of workflow to set up: `name`, else the user's choice, or `add` if no questions are asked."""
        if name is None and self._asks:
            for known, job in JOBS.items():
                screen.print_note(f"  {known:12}{job.description}")
            names = click.Choice(tuple(JOBS))
            question = "What should the workflow do?"
            name = str(click.prompt(question, default="add", type=names, show_choices=False, err=True))
        return JOBS[name or "add"]


def _ask_all_questions(questions: _Questions, options: Mapping[str, Any], services: Services | None) -> ProjectAnswers:
    """Return the answers from options, or else from the user. Raises click.UsageError for a missing or wrong answer."""
    account = _ask_ad_account(questions, options["ad_account"], services)
    api = services.build_pinterest_api(account) if services else None
    job = questions.choose_workflow_kind(options["job"])
    _require_used_options(job, options)
    audiences, new_name = _ask_audiences(questions, job, options["audiences"], api)
    database = query = suppress = consent = ""
    if job.query or job.takes_lists:
        database = questions.get_answer(
            "Database of the query", options["database"], _require_database, option="--database"
        )
    if job.query:
        read = partial(_read_sql_answer, option="--query")
        query = questions.get_answer("Query (SQL, or a file)", options["query"], read, option="--query")
    if job.takes_lists:
        suppress = _ask_list(questions, "People who must not be sent", options["suppress"], option="--suppress")
        consent = _ask_list(questions, "The only people who may be sent", options["consent"], option="--consent")
    question = "Who is notified of a failure (mail:ADDRESS, slack; press Enter for the log alone)"
    alert = questions.get_answer(question, options["alert"], _require_alert, default="")
    return ProjectAnswers(
        job=job,
        ad_account_id=account,
        audiences=audiences,
        new_name=new_name,
        database=database,
        query=query,
        suppress=suppress,
        consent=consent,
        alert=alert,
    )


def _ask_list(questions: _Questions, question: str, option_value: str | None, *, option: str) -> str:
    """Return the SQL of a list of people, or "" for none. Raises as `get_answer` does."""
    text, read = f"{question} (SQL or a file; press Enter for none)", partial(_read_sql_answer, option=option)
    return questions.get_answer(text, option_value, read, default="")


def _require_used_options(job: WorkflowKind, options: Mapping[str, Any]) -> None:
    """Raise click.UsageError for an option that the job does not use: it is an answer that would be ignored."""
    for option, value, is_used in (
        ("--audience", options["audiences"], job.creates_audience or job.ids or job.has_several_audiences),
        ("--database", options["database"], job.query or job.takes_lists),
        ("--query", options["query"], job.query),
        ("--suppress", options["suppress"], job.takes_lists),
        ("--consent", options["consent"], job.takes_lists),
    ):
        if value and not is_used:
            raise click.UsageError(f"{option} has no effect in a workflow to {job.description}: leave it out")


def _require_database(name: str) -> str:
    """Return the name of a database as text. Raises click.UsageError if it is not a valid name."""
    try:
        return read_database(Task(params={"database": name}, environ={}), needed_by="the query")
    except SettingsError as error:
        raise click.UsageError(f"--database: {error.problems[0].text}") from None


def _require_alert(text: str) -> str:
    """Return the answer about alerts unchanged. Raises click.UsageError unless it names a kind of alert."""
    if text and text != "slack" and not (text.startswith("mail:") and "@" in text):
        raise click.UsageError("--alert must be mail:ADDRESS or slack")
    if "${" in text:
        raise click.UsageError("--alert contains a template, which digdag would fill in: give the address itself")
    return text


def _require_name(text: str) -> str:
    """Return the name of a new audience unchanged. Raises click.UsageError if a workflow cannot contain it."""
    if not is_writable_name(text):
        raise click.UsageError("--audience: the name of the new audience must be one line of text without a template")
    return text


def _ask_ad_account(questions: _Questions, option_value: str | None, services: Services | None) -> str:
    """Return the ad account's id from the option, or else from the user, who is shown the known ad accounts."""
    accounts = [*list_ad_accounts(services.pinterest)] if services and not option_value else []
    for account in accounts[:_SHOWN]:
        screen.print_note(f"  {account.label}")
    only = accounts[0].id if len(accounts) == 1 else None
    read = partial(require_id, option="--ad-account")
    return questions.get_answer("Ad account (its id)", option_value, read, option="--ad-account", default=only)


def _ask_audiences(
    questions: _Questions, job: WorkflowKind, option_values: Sequence[str], api: Api | None
) -> tuple[Sequence[tuple[str, str]], str]:
    """Return pairs of id and name of the existing audiences to export to, and the name of an audience to create."""
    if job.creates_audience:
        name = next(iter(option_values), None)
        return (), questions.get_answer("Name of the new audience", name, _require_name, option="--audience")
    if not job.ids and not job.has_several_audiences:
        return (), ""
    known = {str(row["id"]): str(row.get("name") or "") for row in api.list_entities("audiences")} if api else None
    if not option_values:
        for audience_id, name in [*(known or {}).items()][:_SHOWN]:
            screen.print_note(f"  {audience_id:20}{escape(name)}")
    several = job.has_several_audiences
    question = "Audiences (ids, separated by commas)" if several else "Audience (its id, or its name)"
    read = partial(_find_audiences, job=job, known=known)
    return questions.get_answer(question, ",".join(option_values) or None, read, option="--audience"), ""


def _find_audiences(text: str, job: WorkflowKind, known: Mapping[str, str] | None) -> Sequence[tuple[str, str]]:
    """Return id and name of each audience that an answer names, once each. Raises click.UsageError for a wrong one."""
    texts = text.split(",") if job.has_several_audiences else [text]
    found = [*dict.fromkeys(_find_audience(each.strip(), known) for each in texts)]
    for audience_id, name in found:
        if job.checks_name and name and not is_writable_name(name):
            raise click.UsageError(
                f'a workflow cannot check the name of audience {audience_id}, "{escape(name)}": remove control '
                "characters, templates and surrounding spaces from it, in Pinterest"
            )
    return found


def _find_audience(text: str, known: Mapping[str, str] | None) -> tuple[str, str]:
    """Return id and name of the audience in `known` whose id or name is `text`. Raises click.UsageError without one."""
    if known is None:
        try:
            return str(AUDIENCE_ID.read(text, repr)), ""
        except WrongValueError:
            raise click.UsageError(
                "there are no credentials for Pinterest: name the audience by its id, which has only digits"
            ) from None
    ids = [audience_id for audience_id, name in known.items() if text in (audience_id, name)]
    if not ids:
        raise click.UsageError(f'the ad account has no audience "{text}": `td-pinterest audiences` lists them')
    if len(ids) > 1:
        raise click.UsageError(
            f'{len(ids)} audiences are named "{text}": give the id of one of them ({", ".join(ids)})'
        )
    return ids[0], known[ids[0]]


def _read_sql_answer(text: str, option: str) -> str:
    """Return the SQL of an answer, which is SQL or the name of a file with SQL. An empty answer gives ""."""
    sql = files.read_sql(text, option) if text else ""
    if "${" in sql:
        raise SettingsError(f"{option} contains a template, which digdag fills in only in a .dig file: remove it")
    return sql
