"""`td-pinterest init`: a project folder for one job, made by asking."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from td_pinterest_op.cli import files, options, screen
from td_pinterest_op.cli.connection import PINTEREST_SECRETS, Credentials, open_connection, require_id
from td_pinterest_op.cli.export import run_task
from td_pinterest_op.cli.lint import dig_file
from td_pinterest_op.cli.lint.settings import settings_of_exports
from td_pinterest_op.cli.options import CommonOptions
from td_pinterest_op.cli.project_folder import JOBS, Answers, Job, make_folder, show_next_commands
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.pinterest.api import Api
from td_pinterest_op.redaction.format import escape
from td_pinterest_op.settings.table import CREDENTIALS
from td_pinterest_op.settings.types import AUDIENCE_ID, WrongValueError
from td_pinterest_op.workflow.services import Services

_EXAMPLE = """\b
Examples:
  td-pinterest init build/audiences
  td-pinterest init build/audiences --job mirror --audience 2542620905475 --database shop --query people.sql --yes
"""
_SHOWN = 20
_SECRETS = frozenset(key.name for key in CREDENTIALS)


@click.command(epilog=_EXAMPLE)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("build") / "audiences")
@click.option("--job", type=click.Choice(tuple(JOBS)), help="What the workflow does.")
@options.ad_account
@click.option(
    "--audience", "audiences", multiple=True, metavar="ID|NAME", help="The audience; repeat it for the job `many`."
)
@click.option("--database", help="The database of the queries.")
@click.option("--query", metavar="SQL|FILE", help="Who is exported: SQL, or a file with it.")
@click.option("--suppress", metavar="SQL|FILE", help="Who must not be sent.")
@click.option("--consent", metavar="SQL|FILE", help="The only people who are sent.")
@click.option("--alert", metavar="mail:ADDRESS|slack", help="Who learns of a failure.")
@click.option("--dry-run", is_flag=True, help="Then run the export up to its plan; write nothing to Pinterest.")
@options.yes
@options.all_of(options.env_file, options.quiet)
@options.pass_common
def init(given: CommonOptions, /, folder: Path, **named: Any) -> int:
    """Make a project folder: one workflow with its files, filled in.

    Asks for what is not given as an option; --yes asks nothing. Files that were changed since stay unchanged. Nothing
    is written before the last question is answered.
    """
    ask = _Questions(asks=not given.yes)
    credentials = Credentials.find(given.env_file)
    named["ad_account"] = given.ad_account or credentials.environ.get("PINTEREST_AD_ACCOUNT_ID")
    with _pinterest(given, credentials) as services:
        answers = _answers(ask, named, services)
    # Ctrl-C at any question leaves nothing behind: all are asked before the folder is made.
    is_wanted = answers.job.is_export and _wants_dry_run(ask, answers, credentials, named["dry_run"])
    is_right = make_folder(folder, answers, given)
    if is_wanted:
        _run_dry(folder, answers, credentials, given)
    show_next_commands(folder, answers, given)
    return 0 if is_right else 1


def _wants_dry_run(ask: _Questions, answers: Answers, credentials: Credentials, named: bool) -> bool:
    """Return whether a dry run is wanted; nobody is asked where its credentials are missing."""
    can_run = not {*_secrets_of(answers)} & {*credentials.missing}
    return named or (can_run and ask.yes("Try it then, in a dry run? Nothing is written to Pinterest"))


def _secrets_of(answers: Answers) -> Sequence[str]:
    return (*PINTEREST_SECRETS, *(["TD_API_KEY"] if answers.query else []))


def _run_dry(folder: Path, answers: Answers, credentials: Credentials, given: CommonOptions) -> None:
    """Run each export of the folder up to its plan."""
    credentials.require(*_secrets_of(answers))
    texts = {"query": answers.job.query, "suppress": "suppressed.sql", "consent": "consented.sql"}
    params = {
        name: files.read(folder / "queries" / str(file), name) for name, file in texts.items() if getattr(answers, name)
    }
    params |= {"database": answers.database} if params else {}
    for settings in settings_of_exports(dig_file.read(folder / answers.job.workflow)):
        # Nothing but the plan is wanted: the history keeps runs, and the secrets come from the environment.
        known = {name: value for name, value in settings.items() if name not in {"history", *_SECRETS}}
        task = credentials.task(result_settings={**known, "dry_run": True}, **params)
        screen.say(str(run_task(task, credentials, given)["summary"]))


@contextmanager
def _pinterest(given: CommonOptions, credentials: Credentials) -> Iterator[Services | None]:
    """Yield the services; None without credentials for Pinterest, so that ids are typed."""
    if any(name in credentials.missing for name in PINTEREST_SECRETS):
        screen.note("There are no credentials for Pinterest yet: ids are typed. `td-pinterest authorize` stores them")
        yield None
        return
    with open_connection(given) as connection:
        yield connection.services


class _Questions:
    """Asks, unless an option has answered or nobody is to be asked."""

    def __init__(self, *, asks: bool) -> None:
        self._asks = asks
        if asks and not screen.is_interactive():
            raise click.UsageError("there is no terminal to ask at: give the options, and --yes")

    def text(self, question: str, given: str | None, *, option: str, default: str | None = None) -> str:
        """Return an answer. Raises click.UsageError if there is none and nobody can be asked."""
        if given is not None:
            return given.strip()
        if self._asks:
            return str(click.prompt(question, default=default, err=True, show_default=bool(default))).strip()
        if default is None:
            raise click.UsageError(f"{question}: give {option}")
        return default

    def optional(self, question: str, given: str | None) -> str:
        """Return an answer, "" for none."""
        return self.text(f"{question}; nothing for none", given, option="", default="")

    def yes(self, question: str) -> bool:
        """Return whether something is wanted; no if nobody is asked."""
        return self._asks and click.confirm(question, err=True)

    def choice(self, question: str, given: str | None, choices: Mapping[str, str], *, option: str, default: str) -> str:
        """Return one of the `choices`, shown with their descriptions."""
        if given is None and self._asks:
            for name, description in choices.items():
                screen.note(f"  {name:12}{description}")
        answer = self.text(question, given, option=option, default=default)
        while answer not in choices:
            if not self._asks or given is not None:
                raise click.UsageError(f"{option} takes one of {', '.join(choices)}")
            screen.note(f"One of {', '.join(choices)}, please")
            answer = self.text(question, None, option=option, default=default)
        return answer


def _answers(ask: _Questions, named: Mapping[str, Any], services: Services | None) -> Answers:
    account = _ad_account(ask, named["ad_account"], services)
    api = services.pinterest_for(account) if services else None
    descriptions = {name: job.description for name, job in JOBS.items()}
    job = JOBS[ask.choice("What is the workflow to do?", named["job"], descriptions, option="--job", default="add")]
    audiences, new_name = _audiences(ask, job, named["audiences"], api)
    database = query = suppress = consent = ""
    if job.query or job.takes_lists:
        database = ask.text("Database of the query", named["database"], option="--database")
    if job.query:
        query = _sql(ask.text("Query (SQL, or a file)", named["query"], option="--query"), "--query")
    if job.takes_lists:
        none = "SQL or a file; nothing for none"
        suppress = _sql(
            ask.text(f"Who must not be sent ({none})", named["suppress"], option="", default=""), "--suppress"
        )
        consent = _sql(ask.text(f"Only these people ({none})", named["consent"], option="", default=""), "--consent")
    alert = ask.text(
        "Who learns of a failure (mail:ADDRESS, slack; nothing for the log alone)",
        named["alert"],
        option="",
        default="",
    )
    if alert and alert != "slack" and not (alert.startswith("mail:") and "@" in alert):
        raise click.UsageError("--alert takes mail:ADDRESS or slack")
    return Answers(
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


def _ad_account(ask: _Questions, named: str | None, services: Services | None) -> str:
    known = [*services.pinterest.ad_accounts()] if services and not named else []
    for account in known[:_SHOWN]:
        screen.note(f"  {account.label}")
    only = known[0].id if len(known) == 1 else None
    return require_id(ask.text("Ad account (its id)", named, option="--ad-account", default=only), "--ad-account")


def _audiences(
    ask: _Questions, job: Job, named: Sequence[str], api: Api | None
) -> tuple[Sequence[tuple[str, str]], str]:
    """Return ids and names of the audiences, and the name of a new one."""
    if job.creates:
        return (), ask.text("Name of the new audience", next(iter(named), None), option="--audience")
    if not job.ids and job is not JOBS["many"]:
        return (), ""
    known = {str(row["id"]): str(row.get("name") or "") for row in api.list_entities("audiences")} if api else None
    if not named:
        for audience_id, name in [*(known or {}).items()][:_SHOWN]:
            screen.note(f"  {audience_id:20}{escape(name)}")
    several = job is JOBS["many"]
    question = "Audiences (ids or names, with commas)" if several else "Audience (its id, or its name)"
    while True:
        typed = ask.text(question, ",".join(named) or None, option="--audience")
        wanted = [each.strip() for each in typed.split(",")] if several else [typed]
        try:
            return [_identified(each, known) for each in wanted], ""
        except click.UsageError as error:
            if named:
                raise
            screen.note(error.message)


def _identified(text: str, known: Mapping[str, str] | None) -> tuple[str, str]:
    """Return id and name of an audience. Raises click.UsageError if it is not known, or known twice."""
    if known is None:
        try:
            return str(AUDIENCE_ID.read(text, repr)), ""
        except WrongValueError:
            raise click.UsageError("an audience is named by its id where Pinterest cannot be asked: digits") from None
    ids = [audience_id for audience_id, name in known.items() if text in (audience_id, name)]
    if not ids:
        raise click.UsageError(f'the ad account has no audience "{text}": `td-pinterest audiences` lists them')
    if len(ids) > 1:
        raise click.UsageError(f'{len(ids)} audiences are named "{text}": name one by its id ({", ".join(ids)})')
    return ids[0], known[ids[0]]


def _sql(text: str, option: str) -> str:
    """Return a query, or what the file of that name holds."""
    is_file = bool(text) and not any(character.isspace() for character in text)
    sql = files.read(Path(text), option) if is_file else text
    if "${" in sql:
        raise SettingsError(f"{option} holds a template, which digdag fills in only in a .dig file: take it out")
    return sql
