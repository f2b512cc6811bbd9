"""The questions of `td-pinterest init`, each of which an option may answer."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from typing import Any, TypeVar

import click

from td_pinterest_op.activation import LATER_RUNS
from td_pinterest_op.cli import files, screen
from td_pinterest_op.cli.connection import Credentials, list_ad_accounts, require_id
from td_pinterest_op.cli.lint.selected_columns import describe_job
from td_pinterest_op.cli.sql import build_arms_statement
from td_pinterest_op.cli.workflow_kinds import KINDS, Audience, ProjectAnswers, WorkflowKind, is_writable_name
from td_pinterest_op.errors import JobError, SettingsError
from td_pinterest_op.pinterest.api import CUSTOMER_LIST
from td_pinterest_op.records.columns import Column, find_identifier_columns, require_common_type
from td_pinterest_op.records.hashed_query import Query, build_columns_statement, require_one_statement
from td_pinterest_op.redaction.secret import escape
from td_pinterest_op.settings.parse import parse_parameter
from td_pinterest_op.settings.structures import CONTROL, Control
from td_pinterest_op.settings.types import AUDIENCE_ID, WrongValueError, suggest_word
from td_pinterest_op.task_runtime.services import Services
from td_pinterest_op.task_runtime.task import read_source, require_database
from td_pinterest_op.treasure_data.job import Job, wait_for_job

_T = TypeVar("_T")
_SHOWN = 20
_LONGEST_ANSWER = 4_000  # a terminal cuts a line after 4,095 bytes
# Before the name of an audience that does not exist yet.
_NEW = "new:"
_CONVERSIONS = re.compile(r"([a-z0-9_]+(?:\.[a-z0-9_]+)?)(?:\s*,\s*([A-Za-z_]\w*)\s*,\s*([A-Za-z_]\w*))?", re.ASCII)
# The salt in config/lift.yml, as an SQL literal.
_SALT = """'${String(lift.salt).replace(/'/g, "''")}'"""


@dataclass
class Interview:
    """Asks the user, or takes options and default answers if `asks` is false. `services`: None without secrets.

    `options`: the values of options that may answer a question, by name, None or empty for those that are not given.
    """

    asks: bool  # whether the user is asked
    options: Mapping[str, Any]
    services: Services | None
    credentials: Credentials
    _known: Sequence[Audience] | None = field(default=None, init=False)  # the ad account's audiences; None if not known
    _types: Mapping[str, str] = field(default_factory=dict, init=False)  # of audiences that take no people, by id, name
    _people_columns: Sequence[Column] = field(default=(), init=False)  # the identifiers that the query selects
    _database: str = field(default="", init=False)  # the name of the queries' database

    def ask_all(self) -> ProjectAnswers:
        """Return the answers from options, or else from the user. Raises click.UsageError and ExportError."""
        account = self._ask_ad_account()
        kind = self._ask_kind()
        audiences, new_name = self._ask_audiences(kind, account)
        if self.options["status"] and new_name:
            raise click.UsageError("--status needs the id of the audience, which is not known yet: leave it out")
        answers = ProjectAnswers(kind=kind, ad_account_id=account, audiences=audiences, new_name=new_name)
        if new_name and kind.name == "add":
            # One workflow serves the first day and every other day.
            kind = KINDS["create"]
            answers.kind = kind
            answers.if_exists = "add"
        elif kind.creates_audience:
            question = "If it exists already, as on every day but the first: fail, add to it, or replace its people"
            parse = partial(self._parse_if_exists, new_name=new_name)
            answers.if_exists = self._ask(question, "if_exists", parse, default="fail")
        elif self.options["begin"] and new_name:
            raise click.UsageError("--begin has no effect on a new audience: leave it out")
        elif kind.name == "mirror" and audiences:
            size = audiences[0].size  # 0 may also mean that Pinterest does not know it yet
            people = f"{size:,} people are in it" if size else "There may be people in it"
            if self.options["begin"] or size or self.asks:
                answers.begin = self._choose(f"{people}: replace or adopt (keep) them", "begin", ("replace", "adopt"))
        needs_database = bool(kind.query_file) or kind.takes_lists
        question = "Database of the query" if needs_database else "Database of the history (press Enter for none)"
        default = None if needs_database else ""
        answers.database = self._ask(question, "database", self._use_database, default=default)
        if kind.name == "activation":
            question = "What every run but the first does with the audience: add people, replace all, or mirror"
            answers.later_runs = self._choose(question, "later_runs", tuple(LATER_RUNS), default="add")
        if kind.name == "lift":
            self._ask_comparison(answers)
        elif kind.query_file:
            answers.query = self._ask_query("Query (SQL, or a file)", "query")
        if kind.takes_lists:
            none = "(SQL or a file; press Enter for none)"
            answers.suppress = self._ask_query(f"People who must not be sent {none}", "suppress", default="")
            answers.consent = self._ask_query(f"The only people who may be sent {none}", "consent", default="")
        answers.with_status = self.options["status"] or (
            bool(audiences)
            and kind.may_read_status
            and self.ask_yes_no("Add a workflow that reads the audience's status a day later?")
        )
        question = "Who is notified of a failure (mail:ADDRESS, slack; press Enter for the log alone)"
        answers.alert = self._ask(question, "alert", _require_alert, default="")
        return answers

    def ask_yes_no(self, question: str, *, default: bool = False) -> bool:
        """Return the user's answer to a yes-or-no question, or False if no questions are asked."""
        return self.asks and click.confirm(question, default=default, err=True)

    def _ask(self, question: str, option: str, parse: Callable[[str], _T], *, default: str | None = None) -> _T:
        """Return what `parse` makes of the option's value, else of the user's answer, else of the default.

        After a wrong answer at the terminal, the question is asked again. Raises click.UsageError if there is no
        answer, and the errors of `parse` (click.UsageError or ExportError) if the option's value is wrong, or if no
        answer would help.
        """
        given: str | None = self.options[option]
        if given is not None or not self.asks:
            if (text := default if given is None else given) is None:
                raise click.UsageError(f"{question}: give --{option.replace('_', '-')}")
            return parse(text.strip())
        while True:
            text = click.prompt(question, default=default, err=True, show_default=bool(default))
            if screen.discard_pasted_lines() or len(text) > _LONGEST_ANSWER:
                screen.print_note("an answer is one line, of at most 4,000 characters: a longer query goes into a file")
                continue
            try:
                return parse(text.strip())
            except (click.UsageError, SettingsError, JobError) as error:
                screen.print_note(str(error))

    def _choose(self, question: str, option: str, words: Sequence[str], *, default: str | None = None) -> str:
        """Return the one of `words` that is the answer. Raises click.UsageError without an answer."""
        choice = click.Choice(words, case_sensitive=False)
        return self._ask(question, option, lambda text: choice.convert(text, None, None), default=default)

    def _ask_ad_account(self) -> str:
        """Return the ad account's id from the option, or else from the user, who is shown the known ad accounts."""
        accounts = list(list_ad_accounts(self.services.pinterest)) if self.services else []
        if not self.options["ad_account"]:
            _print_first([account.label for account in accounts])
        ids = [account.id for account in accounts]

        def parse(text: str) -> str:
            """Return the id in an answer. Raises click.UsageError for no id, and for an account of others."""
            account_id = require_id(text, option="--ad-account")
            if ids and account_id not in ids:
                raise click.UsageError(f"the token cannot read ad account {account_id}: it can read {', '.join(ids)}")
            return account_id

        return self._ask("Ad account (its id)", "ad_account", parse, default=ids[0] if len(ids) == 1 else None)

    def _ask_kind(self) -> WorkflowKind:
        """Return the kind of workflow. Raises click.UsageError for an option that this kind does not use."""
        if self.options["job"] is None and self.asks:
            for kind in KINDS.values():
                screen.print_note(f"  {kind.name:12}{kind.description}")
        kind = KINDS[self._choose("What should the workflow do?", "job", tuple(KINDS), default="add")]
        for option, is_used in {
            "audience": kind.creates_audience or kind.names_audience,
            "query": bool(kind.query_file),
            "suppress": kind.takes_lists,
            "consent": kind.takes_lists,
            "begin": kind.name == "mirror",
            "if_exists": kind.creates_audience,
            "later_runs": kind.name == "activation",
            "control": kind.name == "lift",
            "conversions": kind.name == "lift",
            "start": kind.name == "lift",
            "status": kind.may_read_status,
        }.items():
            if self.options[option] and not is_used:
                shown = option.replace("_", "-")
                raise click.UsageError(f"--{shown} has no effect in a workflow to {kind.description}: leave it out")
        return kind

    def _ask_audiences(self, kind: WorkflowKind, account: str) -> tuple[Sequence[Audience], str]:
        """Return the existing audiences to export to, and the name of an audience to create, or ""."""
        if not kind.creates_audience and not kind.names_audience:
            return (), ""
        if self.services:
            audiences = self.services.build_pinterest_api(account).list_audiences()
            known = [each for each in audiences if not each.is_removed]
            others = [each for each in known if each.audience_type != CUSTOMER_LIST]
            self._known = [Audience(each.id, each.name, each.size) for each in known if each not in others]
            self._types = {key: each.audience_type for each in others for key in (each.name, each.id)}
        if kind.creates_audience:
            return (), self._ask("Name of the new audience", "audience", partial(self._parse_new_name, most=1))
        if not self.options["audience"]:
            _print_first([f"{audience.id:20}{escape(audience.name)}" for audience in self._known or ()])
        question = "Audience (its id, or its name)"
        if kind.name == "many":
            question = "Audiences (ids or names, separated by commas)"
        elif kind.may_create_audience:
            question = "Audience (its id, its name, or `new:` and the name of a new one)"
        return self._ask(question, "audience", partial(self._parse_audiences, kind=kind))

    def _parse_audiences(self, text: str, kind: WorkflowKind) -> tuple[Sequence[Audience], str]:
        """Return the audiences that an answer names, once each, or the name of a new one. Raises click.UsageError."""
        if text.startswith(_NEW) and kind.may_create_audience:
            return (), self._parse_new_name(text, most=0)
        parts = text.split(",") if kind.name == "many" else [text]
        return list(dict.fromkeys(self._find_audience(part.strip(), kind) for part in parts)), ""

    def _parse_new_name(self, text: str, *, most: int) -> str:
        """Return the name of a new audience, without `new:`. `most`: how many audiences may have this name already.

        Raises click.UsageError if more have it, or if a workflow cannot contain it.
        """
        name = text.removeprefix(_NEW).strip()
        if not is_writable_name(name):
            raise click.UsageError(
                "--audience: the name of the new audience must be one line of text without a template"
            )
        names = [audience.name for audience in self._known or ()]
        if name in self._types or names.count(name) > most:
            advice = "choose another name" if most or name in self._types else "choose another name, or leave out new:"
            raise click.UsageError(f'there is an audience "{name}" already: {advice}')
        return name

    def _parse_if_exists(self, text: str, new_name: str) -> str:
        """Return what a create does if its audience exists: fail, add or replace. Raises click.UsageError."""
        choice: str = click.Choice(("fail", "add", "replace"), case_sensitive=False).convert(text, None, None)
        if choice == "fail" and new_name in [audience.name for audience in self._known or ()]:
            raise click.UsageError(
                f'--if-exists: there is an audience "{new_name}" already: choose add or replace, or another name'
            )
        return choice

    def _find_audience(self, text: str, kind: WorkflowKind) -> Audience:
        """Return the audience whose id or name is `text`. Raises click.UsageError if none or several are found.

        `kind`: the kind of workflow, which decides whether a new audience can be meant.
        """
        if self._known is None:
            try:
                return Audience(str(AUDIENCE_ID.parse(text)))
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
        if text in self._types:
            raise click.UsageError(
                f'"{text}" is of the type {self._types[text]}; only CUSTOMER_LIST audiences take people'
            )
        advice = escape(suggest_word(text, [audience.name for audience in self._known]))
        if not advice:
            advice = ": `td-pinterest audiences` lists them; only those of the type CUSTOMER_LIST take people"
            if kind.may_create_audience:
                advice += f'; to create it, answer "{_NEW} {text}"'
        raise click.UsageError(f'the ad account has no audience "{text}"{advice}')

    def _use_database(self, name: str) -> str:
        """Store the name of the database ("" for none), and return it. Raises ExportError if it does not exist."""
        self._database = name
        if name:
            require_database(self.credentials.build_task(database=name), needed_by="the query")
            self._run_without_rows("SELECT 1 AS one")
        return name

    def _ask_comparison(self, answers: ProjectAnswers) -> None:
        """Add to `answers` the content of config/lift.yml, and SQL that puts people into arms, sent and control."""
        question = "`control` of the export, such as {percent: 10, salt: spring, by: customer_id}"
        control = self._ask(question, "control", _parse_control)
        question = f"People of the export, with the column {control.by} (SQL, or a file)"
        by = str(control.by)
        answers.query = self._ask(question, "query", partial(self._parse_arms_query, by=by))
        question = "Conversions: the table, its column with the key, and its column with the time, separated by commas"
        conversions = self._ask(question, "conversions", partial(self._parse_conversions, by=by))
        start = self._ask("The first day that counts (UTC), such as 2026-11-25", "start", _parse_day)
        percent = f"{control.percent.normalize():f}"
        answers.lift = {"percent": percent, "salt": control.salt, **conversions, "start": start}

    def _parse_conversions(self, text: str, by: str) -> Mapping[str, str]:
        """Return the values about conversions for config/lift.yml, by key. `by`: the default for the key's column.

        Raises click.UsageError for a wrong text, ExportError if the table cannot be queried so.
        """
        found = _CONVERSIONS.fullmatch(text)
        if found is None:
            raise click.UsageError(
                "--conversions must be TABLE, or TABLE,KEY,TIME, such as shop.orders,customer_id,time"
            )
        table = found[1]
        key = found[2] or by
        time = found[3] or "time"
        self._run_without_rows(f"SELECT CAST({key} AS varchar) AS key FROM {table} WHERE {time} >= 0")  # noqa: S608
        return {"conversions": table, "conversions_key": key, "conversions_time": time}

    def _parse_arms_query(self, text: str, by: str) -> str:
        """Return SQL that assigns each person of a query to an arm, `sent` or `control`. `by`: the column with a key.

        `text`: the query, or the name of its file. Raises click.UsageError and ExportError.
        """
        sql = _read_query(text, "query")
        job = self._run_without_rows(sql) or describe_job(sql)
        names = job.names if job else []
        if by not in map(str.lower, names):
            columns = f"it has {', '.join(names)}" if names else "select it by its name"
            raise click.UsageError(f"--query: the query has no column {by}, which `control` names; {columns}")
        # digdag halves `$$`, and fills in what config/lift.yml says.
        people = Query(text=sql.replace("$", "$$"), names=names, columns=())
        return build_arms_statement(people, by=by, salt=_SALT, share="${Math.round(lift.percent * 100)}")

    def _ask_query(self, question: str, option: str, *, default: str | None = None) -> str:
        """Return the SQL of the answer, which is SQL or the name of a file with SQL, or "" for an answer that is "".

        Asks the warehouse for the query's columns if that is possible. Raises click.UsageError and ExportError.
        """

        def parse(text: str) -> str:
            """Return the SQL of an answer, or "" for the default. Raises click.UsageError and ExportError."""
            if text == default:
                return ""
            sql = _read_query(text, option)
            if job := self._run_without_rows(sql) or describe_job(sql):
                columns = find_identifier_columns(replace(job, option=f"--{option}"), {})
                if option == "query":
                    self._people_columns = columns
                elif self._people_columns:  # else Audience Studio chooses the people, or their columns are not known
                    require_common_type(f"--{option}", columns, self._people_columns)
            return sql

        return self._ask(question, option, parse, default=default)

    def _run_without_rows(self, sql: str) -> Job | None:
        """Run a query without its rows. Return the job, which has its columns, or None without credentials.

        Raises ExportError if the query fails.
        """
        if self.services is None or "TD_API_KEY" in self.credentials.missing_variables:
            return None
        source = read_source(self.credentials.build_task(query=sql, database=self._database))
        with screen.print_waits(quiet=True):
            return wait_for_job(self.services.treasure_data, source.with_fresh_query(build_columns_statement(sql)))


def _print_first(lines: Sequence[str]) -> None:
    """Print the first twenty lines of a list to choose from, and how many more there are."""
    for line in lines[:_SHOWN]:
        screen.print_note(f"  {line}")
    if len(lines) > _SHOWN:
        screen.print_note(f"  and {len(lines) - _SHOWN} more")


def _read_query(text: str, option: str) -> str:
    """Return the SQL of an answer: SQL, or the name of a file with it. Raises SettingsError."""
    sql = files.read_sql(text, f"--{option}")
    if "${" in sql:
        raise SettingsError(f"--{option} contains a template, which digdag fills in only in a .dig file: remove it")
    return require_one_statement(sql, name=f"--{option}")


def _parse_control(text: str) -> Control:
    """Return the control group that a text such as `{percent: 10, salt: spring, by: id}` describes.

    Raises SettingsError for a wrong text, and click.UsageError for one without `by`.
    """
    control: Control | None = parse_parameter("--control", text, CONTROL)
    if control is None or control.by is None:
        raise click.UsageError(
            "--control: `by` is missing, the column with the key of each person. For a control group without `by` use "
            "`td-pinterest sql control`"
        )
    return control


def _parse_day(text: str) -> str:
    """Return a day as YYYY-MM-DD. Raises click.UsageError for any other text."""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise click.UsageError("--start must be a day, such as 2026-11-25") from None


def _require_alert(text: str) -> str:
    """Return the answer about alerts unchanged. Raises click.UsageError unless it names a kind of alert."""
    is_mail = re.fullmatch(r"mail:[^@\s,;]+@[^@\s,;]+", text) and "${" not in text
    if text not in ("", "slack") and not is_mail:
        raise click.UsageError("--alert must be mail:ADDRESS or slack, with one address and without a template")
    return text
