"""The questions of `td-pinterest init`, each of which an option may answer."""

import re
import zoneinfo
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import click

from td_pinterest_op.audiences.actions import EXPORT, Add, Create
from td_pinterest_op.cli import files, screen
from td_pinterest_op.cli.connection import Credentials, list_ad_accounts, require_id
from td_pinterest_op.cli.lint.selected_columns import describe_job
from td_pinterest_op.cli.project_folder import EXPORTS, OTHER_JOBS, Project, is_writable_name
from td_pinterest_op.errors import JobError, SettingsError
from td_pinterest_op.pinterest.api import CUSTOMER_LIST, Audience
from td_pinterest_op.records.columns import Column, find_identifier_columns, require_common_type
from td_pinterest_op.redaction.secret import escape
from td_pinterest_op.settings.table import ActionSpec
from td_pinterest_op.settings.types import AUDIENCE_ID, WrongValueError, suggest_word
from td_pinterest_op.stats import WITHHOLDING_LISTS
from td_pinterest_op.task_runtime.services import Services
from td_pinterest_op.task_runtime.task import read_source, require_database
from td_pinterest_op.treasure_data.job import Job, wait_for_job
from td_pinterest_op.trino.hashed_query import build_columns_statement, require_one_statement

_T = TypeVar("_T")
_SHOWN = 20
_LONGEST_ANSWER = 4_000  # a terminal cuts a line after 4,095 bytes
# Before the name of an audience that does not exist yet.
_NEW = "new:"
_FORMS = {
    "region": (re.compile(r"https?://[\w.:-]+/?"), "an address, such as https://api.eu01.treasuredata.com/"),
    "schedule": (
        re.compile(r"(?:hourly|daily|weekly|monthly|cron)>: *[\w*/,: -]+"),
        "as in a .dig file, such as `daily>: 07:00:00` or `cron>: 0 7 * * 1`",
    ),
    "alert": (re.compile(r"slack|mail:[^@\s,;$]+@[^@\s,;$]+"), "mail:ADDRESS or slack, with one address"),
}
# The options that only some actions use, each with a test of the action.
_USES: Mapping[str, Callable[[ActionSpec], bool]] = {
    "audience": lambda _: True,
    "query": lambda action: action.reads_rows,
    **{name: EXPORT.by_name[name].is_used_by for name in (*WITHHOLDING_LISTS, "begin", "if_exists")},
}


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
    _people_columns: Sequence[Column] = field(default=(), init=False)  # the identifiers that the query selects
    _database: str = field(default="", init=False)  # the name of the queries' database

    def ask_all(self) -> Project:
        """Return the answers from options, or else from the user. Raises click.UsageError and ExportError."""
        job = self._ask_job()
        project = Project(job=job)
        if job in EXPORTS:
            self._ask_export(project)
        else:
            project.td["database"] = self._ask_database("Database of the queries and of the history")
        question = "Address of Treasure Data's API (press Enter for the US)"
        default = self.credentials.environ.get("TD_API_SERVER", "")
        if region := self._ask_form(question, "region", default=default):
            project.environment["TD_API_SERVER"] = region
        question = "When it runs, such as daily>: 07:00:00 (press Enter for no schedule)"
        project.schedule = self._ask_form(question, "schedule")
        if project.schedule:
            project.schedule += "\nskip_on_overtime: true"
            project.timezone = self._ask("Time zone of the schedule", "timezone", _require_timezone, default="UTC")
        question = "Who is notified of a failure (mail:ADDRESS, slack; press Enter for the log alone)"
        project.alert = self._ask_form(question, "alert")
        return project

    def _ask_export(self, project: Project) -> None:
        """Add to `project` the settings of its export, and its query."""
        account = self._ask_ad_account()
        action = EXPORTS[project.job]
        audience, name = self._ask_audience(action, account)
        if name and action is Add.action:
            # One workflow serves the first day and every other day.
            project.job = "create"
            action = Create.action
        settings = project.settings
        settings.update(type="pinterest", audience_type="customer_list", ad_account_id=account, action=action.name)
        if audience is None:
            settings["audience_name"] = name
        else:
            settings["audience_id"] = audience.id
            if is_writable_name(audience.name):
                settings["expected_audience_name"] = audience.name
            elif audience.name:
                screen.print_note(
                    "A file cannot contain the audience's name, which has a line feed or a template: the workflow will "
                    "not compare it"
                )
        if project.job == "create":
            default = "add" if EXPORTS[self.options["job"] or "add"] is Add.action and name else "fail"
            question = "If it exists already, as on every day but the first: fail, add to it, or replace its people"
            settings["if_exists"] = self._choose(question, "if_exists", ("fail", "add", "replace"), default=default)
        question = "Database of the query and of the history"
        none = "" if action.reads_rows else " (press Enter for no history)"
        default_database = None if action.reads_rows else ""
        project.td["database"] = self._ask_database(question + none, default=default_database)
        if action.reads_rows:
            project.query = self._ask_query("Query (SQL, or a file)", "query")
            settings["ignore_invalid_records"] = True
        if action.drops_members and action.least_records is None:
            settings["min_records"] = 100
        settings["history"] = "pinterest_history" if project.td["database"] else ""
        none = "(SQL or a file; press Enter for none)"
        for option, question in {
            "suppress": f"People who must not be sent {none}",
            "consent": f"The only people who may be sent {none}",
        }.items():
            if _USES[option](action) and (sql := self._ask_query(question, option, default="")):
                settings[option] = sql
        if _USES["begin"](action):
            self._ask_begin(settings, audience)

    def _ask_begin(self, settings: dict[str, Any], audience: Audience | None) -> None:
        """Add to the settings of a mirror what its first run does with the people in the audience."""
        if audience is None:
            if self.options["begin"]:
                raise click.UsageError("--begin has no effect on a new audience: leave it out")
            return
        # 0 may also mean that Pinterest does not know it yet.
        people = f"{audience.size:,} people are in it" if audience.size else "There may be people in it"
        if self.options["begin"] or audience.size or self.asks:
            question = f"{people}: replace them, or adopt (keep) them, also those who opted out"
            settings["begin"] = self._choose(question, "begin", ("replace", "adopt"))

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

    def _ask_form(self, question: str, option: str, default: str = "") -> str:
        """Return an answer of the form that `_FORMS` has for an option, or the default."""
        return self._ask(question, option, partial(require_form, option=option), default=default)

    def _choose(self, question: str, option: str, words: Sequence[str], *, default: str | None = None) -> str:
        """Return the one of `words` that is the answer, a word or its number. Raises click.UsageError without one."""

        def parse(text: str) -> str:
            """Return the word that an answer means. Raises click.UsageError for another answer."""
            if text.isdecimal() and 1 <= int(text) <= len(words):
                return words[int(text) - 1]
            choice: str = click.Choice(words, case_sensitive=False).convert(text, None, None)
            return choice

        return self._ask(question, option, parse, default=default)

    def _ask_job(self) -> str:
        """Return the job. Raises click.UsageError for an option that it does not use."""
        jobs = (*EXPORTS, *OTHER_JOBS)
        if self.options["job"] is None and self.asks:
            for number, name in enumerate(jobs, start=1):
                action = EXPORTS.get(name)
                text = action.name.replace("_", " ") if action else f"pinterest_{name}.dig, with a file to fill in"
                screen.print_note(f"  {number:2} {name:12}{text}")
        job = self._choose("What should the workflow do?", "job", jobs, default="add")
        action = EXPORTS.get(job)
        for option, is_used in _USES.items():
            # An add of people to a new audience creates it.
            if self.options[option] and not (action and is_used(Create.action if job == "add" else action)):
                shown = option.replace("_", "-")
                raise click.UsageError(f"--{shown} has no effect in a workflow for the job {job}: leave it out")
        return job

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

    def _ask_audience(self, action: ActionSpec, account: str) -> tuple[Audience | None, str]:
        """Return the existing audience to work on and "", or None and the name of an audience to create."""
        if self.services:
            audiences = self.services.build_pinterest_api(account).list_audiences()
            self._known = [each for each in audiences if not each.is_removed and each.audience_type == CUSTOMER_LIST]
        if action is Create.action:
            return None, self._ask("Name of the new audience", "audience", partial(self._parse_new_name, most=1))
        may_be_new = action is Add.action or action.finds_by_name
        if not self.options["audience"]:
            _print_first([f"{audience.id:20}{escape(audience.name)}" for audience in self._known or ()])
        question = "Audience (its id, or its name)"
        if may_be_new:
            question = "Audience (its id, its name, or `new:` and the name of a new one)"
        return self._ask(question, "audience", partial(self._parse_audience, may_be_new=may_be_new), default="")

    def _parse_audience(self, text: str, *, may_be_new: bool) -> tuple[Audience | None, str]:
        """Return the audience that an answer names and "", or None and a new name. Raises click.UsageError.

        `may_be_new`: whether the action creates an audience that does not exist.
        """
        if not text:
            raise click.UsageError("the workflow needs an audience: give --audience, its id or its name")
        if text.startswith(_NEW) and may_be_new:
            return None, self._parse_new_name(text, most=0)
        if self._known is None:
            try:
                return Audience.parse({"id": AUDIENCE_ID.parse(text)}), ""
            except WrongValueError:
                raise click.UsageError(
                    "there are no credentials for Pinterest: name the audience by its id, which has only digits"
                ) from None
        found = [audience for audience in self._known if text in (audience.id, audience.name)]
        if len(found) > 1:
            ids = ", ".join(audience.id for audience in found)
            raise click.UsageError(f'{len(found)} audiences are named "{text}": give the id of one of them ({ids})')
        if found:
            return found[0], ""
        advice = escape(suggest_word(text, [each.name for each in self._known]))
        if not advice:
            advice = ": `td-pinterest audiences` lists them; only those of the type CUSTOMER_LIST take people"
            if may_be_new and not text.isdecimal():
                advice += f'; to create it, answer "{_NEW} {text}"'
        raise click.UsageError(f'the ad account has no audience "{text}"{advice}')

    def _parse_new_name(self, text: str, *, most: int) -> str:
        """Return the name of a new audience, without `new:`. `most`: how many audiences may have this name already.

        Raises click.UsageError if more have it, or if a file cannot contain it.
        """
        name = text.removeprefix(_NEW).strip()
        if not is_writable_name(name):
            raise click.UsageError(
                "--audience: the name of the new audience must be one line of text without a template"
            )
        if [audience.name for audience in self._known or ()].count(name) > most:
            advice = "" if most else ", or leave out new:"
            raise click.UsageError(f'there is an audience "{name}" already: choose another name{advice}')
        return name

    def _ask_database(self, question: str, *, default: str | None = None) -> str:
        """Return the name of the database, "" for none. Raises ExportError if it does not exist."""

        def parse(name: str) -> str:
            """Return an answer, and remember it for the queries. Raises ExportError if there is no such database."""
            self._database = name
            if name:
                require_database(self.credentials.build_task(database=name), needed_by="the query")
                self._run_without_rows("SELECT 1 AS one")
            return name

        return self._ask(question, "database", parse, default=default)

    def _ask_query(self, question: str, option: str, *, default: str | None = None) -> str:
        """Return the SQL of the answer, which is SQL or the name of a file with SQL, or "" for an answer that is "".

        Asks the warehouse for the query's columns if that is possible. Raises click.UsageError and ExportError.
        """

        def parse(text: str) -> str:
            """Return the SQL of an answer, or "" for the default. Raises click.UsageError and ExportError."""
            if text == default:
                return ""
            sql = files.read_sql_option(text, f"--{option}")
            if "${" in sql:
                raise SettingsError(f"--{option} contains a template, which nothing fills in: remove it")
            sql = require_one_statement(sql, name=f"--{option}")
            if job := self._run_without_rows(sql) or describe_job(sql):
                columns = find_identifier_columns(replace(job, option=f"--{option}"), {})
                if option == "query":
                    self._people_columns = columns
                elif self._people_columns:  # else they are not known
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


def _require_timezone(text: str) -> str:
    """Return the name of a time zone unchanged. Raises click.UsageError if there is none of this name."""
    if text not in zoneinfo.available_timezones():
        raise click.UsageError("--timezone must be the name of a time zone, such as Europe/Berlin")
    return text


def require_form(text: str, option: str) -> str:
    """Return the value of one of the options in `_FORMS` unchanged. Raises click.UsageError for a wrong one."""
    form, description = _FORMS[option]
    if text and not form.fullmatch(text):
        raise click.UsageError(f"--{option} must be {description}")
    return text
