"""`td-pinterest init`: a new project folder for one job, made by asking."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from td_pinterest_op.cli import files, options, screen
from td_pinterest_op.cli.ad_accounts import list_ad_accounts
from td_pinterest_op.cli.check import find_export_settings
from td_pinterest_op.cli.connection import (
    PINTEREST_SECRETS,
    Connection,
    Credentials,
    find_credentials,
    open_connection,
    require_id,
)
from td_pinterest_op.cli.export import run_export_task
from td_pinterest_op.cli.options import CommonOptions
from td_pinterest_op.cli.project_folder import create_project_folder, print_next_commands, require_new_folder
from td_pinterest_op.cli.questions import Questions
from td_pinterest_op.cli.workflow_kinds import KINDS, Audience, ProjectAnswers, WorkflowKind, is_writable_name
from td_pinterest_op.erase import erase_people
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.http.json_counts import parse_whole_number
from td_pinterest_op.records.columns import find_identifier_columns
from td_pinterest_op.records.hashed_query import build_columns_statement, require_one_statement
from td_pinterest_op.redaction.secret import escape
from td_pinterest_op.runtime.clock import SYSTEM
from td_pinterest_op.settings.table import CREDENTIALS
from td_pinterest_op.settings.types import AUDIENCE_ID, WrongValueError, suggest_word
from td_pinterest_op.task_runtime.task import Task, read_database, read_source
from td_pinterest_op.treasure_data.job import Job, wait_for_job

_EXAMPLE = """\b
Examples:
  td-pinterest init build/audiences
  td-pinterest init build/audiences --job mirror --audience 2542620905475 --database shop --query people.sql --yes
"""
_SHOWN = 20
_SECRETS = frozenset(key.name for key in CREDENTIALS)
# Before the name of an audience that does not exist yet.
_NEW = "new:"


@click.command(cls=options.Command, epilog=_EXAMPLE)
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
@click.option("--database", help="The database of the queries and of the history.")
@click.option("--query", metavar="SQL|FILE", help="Who is exported: SQL, or a file with it.")
@click.option("--suppress", metavar="SQL|FILE", help="The people who must not be sent: SQL, or a file with it.")
@click.option("--consent", metavar="SQL|FILE", help="The only people who may be sent: SQL, or a file with it.")
@click.option("--status", is_flag=True, help="Add a workflow that reads the audience's status a day later.")
@click.option("--alert", metavar="mail:ADDRESS|slack", help="Who is notified of a failure.")
@click.option("--dry-run", is_flag=True, help="Then run its export up to the plan; write nothing to Pinterest.")
@options.yes
@options.combine_options(options.env_file, options.quiet)
@options.pass_common
def init(common: CommonOptions, /, folder: Path, **named: Any) -> int:
    """Make a new project folder with one workflow and its files, from your answers.

    Asks for everything that no option gives; with --yes it asks nothing. The folder must be new or empty, and nothing
    is written before the last question is answered.
    """
    require_new_folder(folder)
    questions = Questions(asks=not common.yes)
    credentials = find_credentials(common.env_file)
    named["ad_account"] = common.ad_account or credentials.environ.get("PINTEREST_AD_ACCOUNT_ID")
    with contextlib.ExitStack() as stack:
        connection = None
        if set(PINTEREST_SECRETS).isdisjoint(credentials.missing_variables):
            connection = stack.enter_context(open_connection(common))
        else:
            screen.print_note(
                "There are no credentials for Pinterest yet, so you must type the ids yourself. To store credentials, "
                "run `td-pinterest authorize`"
            )
        answers = _Interview(questions, named, connection, credentials, common).ask_all()
    is_wanted = _confirm_dry_run(questions, answers, credentials, named["dry_run"])
    is_right = create_project_folder(folder, answers, common)
    if is_wanted:
        _dry_run(folder, answers, credentials, common)
    print_next_commands(folder, answers, common)
    return 0 if is_right else 1


def _confirm_dry_run(
    questions: Questions, answers: ProjectAnswers, credentials: Credentials, is_requested: bool
) -> bool:
    """Return whether to do a dry run, because an option or the user wants it. Asks only if no secret is missing.

    Raises click.UsageError or SettingsError for a dry run that is requested but impossible.
    """
    needed = (*PINTEREST_SECRETS, *(["TD_API_KEY"] if answers.query else []))
    if answers.kind.name == "activation":
        if is_requested:
            raise click.UsageError("--dry-run: only Audience Studio starts an activation; leave it out")
        return False
    if is_requested:
        credentials.require_variables(*needed)
        return True
    if not set(needed).isdisjoint(credentials.missing_variables):
        return False
    # An erasure touches every list.
    question = "Then try it in a dry run? Nothing is written to Pinterest"
    return questions.ask_yes_no(question, default=answers.kind.name == "erase")


def _dry_run(folder: Path, answers: ProjectAnswers, credentials: Credentials, common: CommonOptions) -> None:
    """Do a dry run of what the new project folder has, and print the summary of each export or of the erasure."""
    texts = {name: getattr(answers, name) for name in ("query", "suppress", "consent", "database")}
    params = {name: text for name, text in texts.items() if text}
    if answers.kind.name == "erase":
        settings = {"ad_account_id": answers.ad_account_id, "ignore_invalid_records": True, "dry_run": True}
        with screen.print_waits(quiet=common.quiet):
            erasure = erase_people(credentials.build_task(result_settings=settings, **params), SYSTEM)
        screen.print_line(str(erasure["summary"]))
        return
    for written in find_export_settings(folder / answers.kind.workflow):
        # Nothing but the plan is wanted: the history keeps runs, and the secrets come from the environment.
        left_out = {"history", *_SECRETS}
        known = {name: value for name, value in written.items() if value is not None and name not in left_out}
        task = credentials.build_task(result_settings={**known, "dry_run": True}, **params)
        screen.print_line(str(run_export_task(task, credentials, common)["summary"]))


@dataclass
class _Interview:
    """Asks the questions of `init`. `options`: the options that may answer them. `connection`: None without secrets."""

    questions: Questions
    options: Mapping[str, Any]
    connection: Connection | None
    credentials: Credentials
    common: CommonOptions
    _known: Sequence[Audience] | None = field(default=None, init=False)  # of the ad account; None if not known

    def ask_all(self) -> ProjectAnswers:
        """Return the answers from options, or else from the user. Raises click.UsageError and ExportError."""
        account = self._ask_ad_account()
        kind = self._ask_kind()
        audiences, new_name = self._ask_audiences(kind, account)
        begin = ""
        if_exists = ""
        if new_name and kind.name == "add":
            # One workflow serves the first day and every other day.
            kind = KINDS["create"]
            if_exists = "add"
        elif kind.creates_audience:
            question = "If it exists already, as on every day but the first: fail, add to it, or replace its people"
            parse = partial(_choose, words=("fail", "add", "replace"))
            if_exists = self.questions.get_answer(question, self.options["if_exists"], parse, default="fail")
        elif kind.name == "mirror" and audiences and audiences[0].size != 0:
            size = audiences[0].size
            people = "The people" if size is None else f"{size:,} people"
            question = f"{people} who are in it: replace them, or adopt (keep) them"
            begin = self.options["begin"] or ""
            if not begin and not self.common.yes:
                begin = self.questions.get_answer(question, None, partial(_choose, words=("replace", "adopt")))
        needs_database = bool(kind.query_file) or kind.takes_lists
        database = self.questions.get_answer(
            "Database of the query" if needs_database else "Database of the history (press Enter for none)",
            self.options["database"],
            self._require_database,
            option="--database",
            default=None if needs_database else "",
        )
        query = ""
        suppress = ""
        consent = ""
        if kind.query_file:
            parse = partial(self._parse_query, option="--query", database=database)
            query = self.questions.get_answer("Query (SQL, or a file)", self.options["query"], parse, option="--query")
        if kind.takes_lists:
            suppress = self._ask_list("People who must not be sent", "suppress", database)
            consent = self._ask_list("The only people who may be sent", "consent", database)
        with_status = self.options["status"] or (
            bool(audiences)
            and kind.name != "delete"
            and self.questions.ask_yes_no("Add a workflow that reads the audience's status a day later?")
        )
        question = "Who is notified of a failure (mail:ADDRESS, slack; press Enter for the log alone)"
        alert = self.questions.get_answer(question, self.options["alert"], _require_alert, default="")
        return ProjectAnswers(
            kind=kind,
            ad_account_id=account,
            audiences=audiences,
            new_name=new_name,
            database=database,
            query=query,
            suppress=suppress,
            consent=consent,
            alert=alert,
            begin=begin,
            if_exists=if_exists,
            with_status=with_status,
        )

    def _ask_ad_account(self) -> str:
        """Return the ad account's id from the option, or else from the user, who is shown the known ad accounts."""
        option_value = self.options["ad_account"]
        only = None
        if self.connection and not option_value:
            accounts = list(list_ad_accounts(self.connection.services.pinterest))
            for account in accounts[:_SHOWN]:
                screen.print_note(f"  {account.label}")
            only = accounts[0].id if len(accounts) == 1 else None
        parse = partial(require_id, option="--ad-account")
        return self.questions.get_answer(
            "Ad account (its id)", option_value, parse, option="--ad-account", default=only
        )

    def _ask_kind(self) -> WorkflowKind:
        """Return the kind of workflow. Raises click.UsageError for an option that this kind does not use."""
        if self.options["job"] is None and not self.common.yes:
            for kind in KINDS.values():
                screen.print_note(f"  {kind.name:12}{kind.description}")
        parse = partial(_choose, words=tuple(KINDS))
        kind = KINDS[
            self.questions.get_answer("What should the workflow do?", self.options["job"], parse, default="add")
        ]
        for option, is_used in (
            ("audiences", kind.creates_audience or kind.names_audience),
            ("query", bool(kind.query_file)),
            ("suppress", kind.takes_lists),
            ("consent", kind.takes_lists),
            ("begin", kind.name == "mirror"),
            ("if_exists", kind.creates_audience),
            ("status", kind.names_audience and kind.name != "delete"),
        ):
            if self.options[option] and not is_used:
                shown = option.removesuffix("s") if option == "audiences" else option.replace("_", "-")
                raise click.UsageError(f"--{shown} has no effect in a workflow to {kind.description}: leave it out")
        return kind

    def _ask_audiences(self, kind: WorkflowKind, account: str) -> tuple[Sequence[Audience], str]:
        """Return the existing audiences to export to, and the name of an audience to create, or ""."""
        if not kind.creates_audience and not kind.names_audience:
            return (), ""
        given = self.options["audiences"]
        if kind.creates_audience:
            name = ",".join(given) or None
            return (), self.questions.get_answer("Name of the new audience", name, _parse_new_name, option="--audience")
        if self.connection:
            rows = list(self.connection.services.build_pinterest_api(account).list_entities("audiences"))
            self._known = [
                Audience(str(row["id"]), str(row.get("name") or ""), parse_whole_number(row.get("size")))
                for row in rows
            ]
        for audience in (self._known or ())[:_SHOWN] if not given else ():
            screen.print_note(f"  {audience.id:20}{escape(audience.name)}")
        question = "Audience (its id, its name, or `new:` and the name of a new one)"
        if kind.name == "many":
            question = "Audiences (ids, separated by commas)"
        elif not _may_be_new(kind):
            question = "Audience (its id, or its name)"
        parse = partial(self._parse_audiences, kind=kind)
        return self.questions.get_answer(question, ",".join(given) or None, parse, option="--audience")

    def _parse_audiences(self, text: str, kind: WorkflowKind) -> tuple[Sequence[Audience], str]:
        """Return the audiences that an answer names, once each, or the name of a new one. Raises click.UsageError."""
        if text.lower().startswith(_NEW) and _may_be_new(kind):
            return (), _parse_new_name(text)
        if kind.name == "many":
            return list(dict.fromkeys(self._find_audience(each.strip(), kind) for each in text.split(","))), ""
        found = self._find_audience(text, kind)
        if kind.checks_name and found.name and not is_writable_name(found.name):
            raise click.UsageError(
                f'a workflow cannot check the name of audience {found.id}, "{escape(found.name)}": remove control '
                "characters, templates and surrounding spaces from it, in Pinterest"
            )
        return [found], ""

    def _find_audience(self, text: str, kind: WorkflowKind) -> Audience:
        """Return the audience whose id or name is `text`. Raises click.UsageError without exactly one."""
        if self._known is None:
            try:
                return Audience(str(AUDIENCE_ID.read(text, repr)))
            except WrongValueError:
                raise click.UsageError(
                    "there are no credentials for Pinterest: name the audience by its id, which has only digits"
                ) from None
        found = [audience for audience in self._known if text in (audience.id, audience.name)]
        if len(found) > 1:
            ids = ", ".join(audience.id for audience in found)
            raise click.UsageError(f'{len(found)} audiences are named "{text}": give the id of one of them ({ids})')
        if found:
            return found[0]
        advice = escape(suggest_word(text, [audience.name for audience in self._known]))
        if not advice:
            advice = ": `td-pinterest audiences` lists them"
            if _may_be_new(kind):
                advice += f'; to create it, answer "{_NEW} {text}"'
        raise click.UsageError(f'the ad account has no audience "{text}"{advice}')

    def _require_database(self, name: str) -> str:
        """Return the name of a database as text, "" unchanged. Raises ExportError if Treasure Data has none of it."""
        if not name:
            return ""
        try:
            database = read_database(Task(params={"database": name}, environ={}), needed_by="the query")
        except SettingsError as error:
            raise click.UsageError(f"--database: {error.problems[0].text}") from None
        self._find_columns("SELECT 1 AS one", database)
        return database

    def _ask_list(self, question: str, option: str, database: str) -> str:
        """Return the SQL of a list of people, or "" for none. Raises as `get_answer` does."""
        parse = partial(self._parse_query, option=f"--{option}", database=database)
        text = f"{question} (SQL or a file; press Enter for none)"
        return self.questions.get_answer(text, self.options[option], parse, default="")

    def _parse_query(self, text: str, option: str, database: str) -> str:
        """Return the SQL of an answer, which is SQL or the name of a file with SQL. An empty answer gives "".

        Asks the warehouse for the query's columns if that is possible. Raises click.UsageError and ExportError.
        """
        if not text and option != "--query":
            return ""
        sql = files.read_sql(text, option)
        if "${" in sql:
            raise SettingsError(f"{option} contains a template, which digdag fills in only in a .dig file: remove it")
        try:
            sql = require_one_statement(sql, name=option)
        except SettingsError as error:
            raise click.UsageError(str(error)) from None
        if job := self._find_columns(sql, database):
            find_identifier_columns(replace(job, file=f"of {option}"), {})
        return sql

    def _find_columns(self, sql: str, database: str) -> Job | None:
        """Run a query so that it returns no rows. Return its job, or None without credentials. Raises ExportError."""
        if self.connection is None or "TD_API_KEY" in self.credentials.missing_variables:
            return None
        source = read_source(self.credentials.build_task(query=sql, database=database))
        with screen.print_waits(quiet=True):
            td = self.connection.services.treasure_data
            return wait_for_job(td, source.with_fresh_query(build_columns_statement(sql)))


def _may_be_new(kind: WorkflowKind) -> bool:
    """Whether the audience of such a workflow may not exist yet."""
    return kind.name in ("add", "mirror")


def _parse_new_name(text: str) -> str:
    """Return the name of a new audience, without `new:`. Raises click.UsageError if a workflow cannot contain it."""
    name = text[len(_NEW) :].strip() if text.lower().startswith(_NEW) else text
    if not is_writable_name(name):
        raise click.UsageError("--audience: the name of the new audience must be one line of text without a template")
    return name


def _choose(text: str, words: Sequence[str]) -> str:
    """Return the one of `words` that an answer is. Raises click.UsageError for another answer."""
    if text.lower() not in words:
        raise click.UsageError(f"answer one of {', '.join(words)}")
    return text.lower()


def _require_alert(text: str) -> str:
    """Return the answer about alerts unchanged. Raises click.UsageError unless it names a kind of alert."""
    if text and text != "slack" and not (text.startswith("mail:") and "@" in text):
        raise click.UsageError("--alert must be mail:ADDRESS or slack")
    if "${" in text:
        raise click.UsageError("--alert contains a template, which digdag would fill in: give the address itself")
    return text
