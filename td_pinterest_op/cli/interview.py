"""The questions of `td-pinterest init`, each of which an option may answer."""

# To add a question:
# 1. Test its option and the folder that it makes (tests/e2e/cli/test_init.py).
# 2. Ask it here, add its option to cli/commands/init.py, and write its answer in cli/project_folder.py.
# 3. Run `python -m tests.readme` and `python -m tests.public_surface`.
import re
import zoneinfo
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from td_pinterest_op.audiences.actions import EXPORT_SETTINGS, Add, Create
from td_pinterest_op.cli import files, screen
from td_pinterest_op.cli.connection import list_ad_accounts, parse_id_option
from td_pinterest_op.cli.project_folder import (
    EXPORT_ACTIONS,
    INIT_JOBS,
    PEOPLE_QUERY_FILE,
    NewProject,
    is_writable_audience_name,
    require_missing,
    require_room_for_job,
)
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.pinterest.api import CUSTOMER_LIST_TYPE, Audience
from td_pinterest_op.redaction.secret import escape_for_message
from td_pinterest_op.settings.table import WITHHOLDING_LIST_NAMES, ActionSpec
from td_pinterest_op.task_runtime.services import Services

_T = TypeVar("_T")
_LONGEST_ANSWER = 4_000  # a terminal cuts a line after 4,095 bytes
_NEW_NAME_PREFIX = "new:"
# The options that only some actions of an export use, each with a test of the action.
_USE_TEST_BY_OPTION: Mapping[str, Callable[[ActionSpec], bool]] = {
    "action": lambda _: True,
    "ad_account": lambda _: True,
    "audience": lambda _: True,
    "query": lambda action: action.reads_rows,
    **{name: EXPORT_SETTINGS.by_name[name].is_used_by for name in (*WITHHOLDING_LIST_NAMES, "begin", "if_exists")},
}


def _build_pattern_parser(pattern: str, description: str) -> Callable[[str], str]:
    """Return a type of an option: a function that raises click.BadParameter unless a text is "" or of this form."""

    def require_form(text: str) -> str:
        if text and not re.fullmatch(pattern, text):
            raise click.BadParameter(f"it must be {description}")
        return text

    return require_form


INIT_JOB_CHOICE = click.Choice(tuple(INIT_JOBS), case_sensitive=False)
ACTION_CHOICE = click.Choice(tuple(EXPORT_ACTIONS), case_sensitive=False)
BEGIN_CHOICE = click.Choice(("replace", "adopt"), case_sensitive=False)
IF_EXISTS_CHOICE = click.Choice(("fail", "add", "replace"), case_sensitive=False)
parse_timezone = _build_pattern_parser(
    "|".join(map(re.escape, zoneinfo.available_timezones())), "the name of a time zone, such as Europe/Berlin"
)
parse_region_address = _build_pattern_parser(
    r"https?://[\w.:-]+/?", "an address, such as https://api.eu01.treasuredata.com/"
)
parse_schedule = _build_pattern_parser(
    r"minutes_interval>: *[1-9]\d*|(?:hourly>: *|daily>: *\d+:|(?:weekly|monthly)>: *[\w-]+, *\d+:)\d+:\d+|"
    r"cron>: *[\w*/,-]+(?: +[\w*/,-]+){4}",
    "as in a .dig file, such as `daily>: 07:00:00` or `cron>: 0 7 * * 1`",
)
parse_alert = _build_pattern_parser(r"slack|mail:[^@\s,;$]+@[^@\s,;$]+", "mail:ADDRESS or slack, with one address")


@dataclass
class Interview:
    """Asks the questions that no option answers."""

    asks: bool  # if not, default answers are taken
    options: Mapping[str, Any]  # their values by name, None or empty if not given
    folder: Path
    services: Services | None  # None without secrets
    account_of_environment: str  # its id, or ""
    default_region: str  # the address of Treasure Data's API, or ""
    _known_audiences: Sequence[Audience] = field(default=(), init=False)  # the ad account's, if there are secrets

    def ask_all(self) -> NewProject:
        """Return the answers. Raises click.UsageError and ExportError."""
        name = self._get_answer("What should the workflow do?", "job", INIT_JOB_CHOICE, default="export")
        project = NewProject(job=INIT_JOBS[name])
        require_room_for_job(self.folder, project.job)
        if name == "export":
            self._ask_export(project)
        else:
            self._require_no_effectless_option(f"a workflow for the job {name}", None)
            project.td["database"] = self._get_answer("Database of the queries and of the history", "database", str)
        question = "Address of Treasure Data's API" + ("" if self.default_region else " (press Enter for the US)")
        project.region = self._get_answer(question, "region", parse_region_address, default=self.default_region)
        question = "When it runs, such as daily>: 07:00:00 (press Enter for no schedule)"
        if schedule := self._get_answer(question, "schedule", parse_schedule, default=""):
            operator, _, time = schedule.partition(">:")
            project.schedule = {f"{operator}>": time.strip(), "skip_on_overtime": True}
            project.timezone = self._get_answer("Time zone of the schedule", "timezone", parse_timezone, default="UTC")
        elif self.options["timezone"]:
            raise click.UsageError("--timezone has no effect without a schedule: give --schedule, or leave it out")
        question = "Who is notified of a failure (mail:ADDRESS, slack; press Enter for the log alone)"
        project.alert = self._get_answer(question, "alert", parse_alert, default="")
        return project

    def _ask_export(self, project: NewProject) -> None:
        name = self._get_answer("What is done to the audience?", "action", ACTION_CHOICE, default="add")
        action = EXPORT_ACTIONS[name]
        # An add of people to a new audience creates it.
        self._require_no_effectless_option(f"the action {name}", Create.action if name == "add" else action)
        require_missing(self.folder, [PEOPLE_QUERY_FILE] if action.reads_rows else [])
        account = self._ask_ad_account()
        audience = self._ask_audience(action, account)
        default_if_exists = "fail"
        if not audience.id and action is Add.action:
            # One workflow serves the first day and every other day.
            action = Create.action
            default_if_exists = "add"
        settings = project.settings
        settings.update(type="pinterest", audience_type="customer_list", ad_account_id=account, action=action.name)
        if not audience.id:
            settings["audience_name"] = audience.name
        else:
            settings["audience_id"] = audience.id
            if is_writable_audience_name(audience.name):
                settings["expected_audience_name"] = audience.name.strip()
            elif audience.name:
                screen.print_note(
                    "A file cannot contain the audience's name, which has a line feed or a template: the workflow will "
                    "not compare it"
                )
        if action is Create.action:
            question = "If it exists already, as on every day but the first: fail, add to it, or replace its people"
            settings["if_exists"] = self._get_answer(question, "if_exists", IF_EXISTS_CHOICE, default=default_if_exists)
        question = "Database of the query and of the history"
        if action.reads_rows:
            database = self._get_answer(question, "database", str)
            project.queries[PEOPLE_QUERY_FILE] = self._ask_query("Query (SQL, or a file)", "query")
            settings["ignore_invalid_records"] = True
        else:
            database = self._get_answer(f"{question} (press Enter for no history)", "database", str, default="")
        project.td["database"] = database
        if action.drops_members and action.least_records is None:
            settings["min_records"] = 100
        settings["history"] = "pinterest_history" if database else ""
        none = "(SQL or a file; press Enter for none)"
        for option, question in {
            "suppress": f"People who must not be sent {none}",
            "consent": f"The only people who may be sent {none}",
        }.items():
            if _USE_TEST_BY_OPTION[option](action) and (sql := self._ask_query(question, option, default="")):
                settings[option] = sql
        if _USE_TEST_BY_OPTION["begin"](action):
            self._ask_adopt_or_replace(settings, audience)

    def _require_no_effectless_option(self, label: str, action: ActionSpec | None) -> None:
        for option, is_used in _USE_TEST_BY_OPTION.items():
            if self.options[option] and not (action and is_used(action)):
                raise click.UsageError(f"--{option.replace('_', '-')} has no effect in {label}: leave it out")

    def _ask_adopt_or_replace(self, settings: dict[str, Any], audience: Audience) -> None:
        if not audience.id:
            if self.options["begin"]:
                raise click.UsageError("--begin has no effect on a new audience: leave it out")
        elif self.options["begin"] or audience.size or self.asks:
            question = "People in the audience: replace them, or adopt (keep) them, also those who opted out"
            settings["begin"] = self._get_answer(question, "begin", BEGIN_CHOICE)

    def _get_answer(self, question: str, option: str, parse: Callable[[str], _T], *, default: str | None = None) -> _T:
        """Return what `parse` makes of the option's value, else of the user's answer, else of the default.

        `parse`: a function, or a type of click. After a wrong answer, the question is asked again. Raises
        click.UsageError if there is no answer, and what `parse` raises for the option's value.
        """
        given: str | None = self.options[option]
        if given is not None or not self.asks:
            if (text := default if given is None else given) is None:
                raise click.UsageError(f"{question}: give --{option.replace('_', '-')}")
            try:
                return parse(text.strip())
            except click.BadParameter as error:
                raise click.UsageError(f"--{option.replace('_', '-')}: {error.message}") from None

        def read(text: str) -> _T:
            if screen.discard_pasted_lines() or len(text) > _LONGEST_ANSWER:
                raise click.UsageError(
                    "an answer is one line, of at most 4,000 characters: a longer query goes into a file"
                )
            try:
                return parse(text.strip())
            except (SettingsError, click.UsageError) as error:
                raise click.UsageError(screen.replace_program_name(str(error))) from None

        type_: Any = parse  # click shows its choices
        answer: _T = click.prompt(question, default, type=type_, value_proc=read, err=True, show_default=bool(default))
        return answer

    def _ask_ad_account(self) -> str:
        if self.account_of_environment and not self.options["ad_account"]:
            return parse_id_option(self.account_of_environment, "PINTEREST_AD_ACCOUNT_ID")
        accounts = list(list_ad_accounts(self.services.pinterest)) if self.services else []
        if not self.options["ad_account"]:
            for account in accounts:
                screen.print_note(f"  {account.label}")
        parse = partial(parse_id_option, option="--ad-account")
        default = accounts[0].id if len(accounts) == 1 else None
        return self._get_answer("Ad account (its id)", "ad_account", parse, default=default)

    def _ask_audience(self, action: ActionSpec, account: str) -> Audience:
        """Return the audience. One that the workflow creates has a name and no id."""
        if self.services:
            audiences = self.services.build_pinterest_api(account).list_audiences()
            self._known_audiences = [
                each for each in audiences if not each.is_removed and each.audience_type == CUSTOMER_LIST_TYPE
            ]
        if action is Create.action:
            return self._get_answer(
                "Name of the new audience", "audience", partial(self._parse_audience_to_create, most_namesakes=1)
            )
        may_be_new = action is Add.action or action.finds_by_name
        if not self.options["audience"]:
            for audience in self._known_audiences:
                screen.print_note(f"  {audience.id:20}{escape_for_message(audience.name)}")
        question = "Audience (its id, or its name)"
        if may_be_new:
            question = "Audience (its id, its name, or `new:` and the name of a new one)"
        return self._get_answer(question, "audience", partial(self._parse_audience, may_be_new=may_be_new), default="")

    def _parse_audience(self, text: str, *, may_be_new: bool) -> Audience:
        if not text:
            raise click.UsageError("the workflow needs an audience: give --audience, its id or its name")
        if text.startswith(_NEW_NAME_PREFIX) and may_be_new:
            return self._parse_audience_to_create(text, most_namesakes=0)
        if self.services is None:
            return Audience.parse({"id": parse_id_option(text, "without credentials for Pinterest, --audience")})
        found = [audience for audience in self._known_audiences if text in (audience.id, audience.name)]
        if len(found) > 1:
            ids = ", ".join(audience.id for audience in found)
            raise click.UsageError(f'{len(found)} audiences are named "{text}": give the id of one of them ({ids})')
        if found:
            return found[0]
        hint = f'; to create it, answer "{_NEW_NAME_PREFIX} {text}"' if may_be_new else ""
        raise click.UsageError(
            f'the ad account has no audience "{text}": `td-pinterest audiences` lists them; only those of the type '
            f"CUSTOMER_LIST take people{hint}"
        )

    def _parse_audience_to_create(self, text: str, *, most_namesakes: int) -> Audience:
        """Return a new audience.

        Raises click.UsageError if more than `most_namesakes` have its name, or if settings cannot contain it.
        """
        name = text.removeprefix(_NEW_NAME_PREFIX).strip()
        if not is_writable_audience_name(name):
            raise click.UsageError(
                "--audience: the name of the new audience must be one line of text without a template"
            )
        if [audience.name for audience in self._known_audiences].count(name) > most_namesakes:
            advice = "" if most_namesakes else ", or leave out new:"
            raise click.UsageError(f'there is an audience "{name}" already: choose another name{advice}')
        return Audience.parse({"name": name})

    def _ask_query(self, question: str, option: str, *, default: str | None = None) -> str:
        return self._get_answer(
            question, option, lambda text: text and files.read_sql_option(text, f"--{option}"), default=default
        )
