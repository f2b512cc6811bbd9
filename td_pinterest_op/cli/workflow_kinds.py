"""The kinds of workflow that `td-pinterest init` can set up, and the answers that a project folder is made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import click

from td_pinterest_op.audiences.actions import Add, Clear, Create, Delete, Mirror, Remove, Replace
from td_pinterest_op.settings.table import CREDENTIALS, ActionSpec
from td_pinterest_op.settings.types import TEXT, WrongValueError, is_left_out
from td_pinterest_op.stats import LISTS
from td_pinterest_op.task_runtime.task import read_sql


@dataclass(frozen=True)
class WorkflowKind:
    """A kind of workflow that `td-pinterest init` can set up, such as `mirror`, and what that workflow needs."""

    name: str
    description: str
    action: ActionSpec | None = None  # the action of its settings; None if it is not a single export
    query_file: str = ""  # its path in the project folder; "" if the workflow selects no people
    shipped_queries: tuple[str, ...] = ()  # paths of queries that the folder gets unchanged

    @property
    def workflow(self) -> str:
        """The name of the kind's .dig file."""
        return f"pinterest_{'export' if self.action is Add.action else self.name}.dig"

    @property
    def takes_lists(self) -> bool:
        """Whether the kind's workflows read lists of people who opted out, or consented."""
        return self.action.adds_people if self.action else self.name in ("many", "activation")

    @property
    def creates_audience(self) -> bool:
        """Whether the kind's workflows create an audience."""
        return self.action is Create.action

    @property
    def names_audience(self) -> bool:
        """Whether workflows of this kind work on existing audiences, whose ids the user must give."""
        return not self.creates_audience if self.action else self.name in ("many", "lift")

    @property
    def may_create_audience(self) -> bool:
        """Whether the kind's workflows create their audience if it does not exist."""
        return self.action in (Add.action, Mirror.action)

    @property
    def may_read_status(self) -> bool:
        """Whether a project folder of this kind can get a second workflow, which reads the audience's status."""
        return self.names_audience and self.name not in ("clear", "delete", "lift")

    @property
    def checks_name(self) -> bool:
        """Whether the workflow stops if the audience's name differs from the one in `config/pinterest.yml`."""
        return self.action not in (None, Add.action, Create.action)


_PEOPLE = "queries/people.sql"
KINDS: Mapping[str, WorkflowKind] = {
    kind.name: kind
    for kind in (
        WorkflowKind("add", "add people to an audience", Add.action, _PEOPLE),
        WorkflowKind("remove", "remove people from an audience", Remove.action, "queries/remove_people.sql"),
        WorkflowKind("create", "create an audience", Create.action, _PEOPLE),
        WorkflowKind("replace", "replace the people of an audience", Replace.action, "queries/replace_people.sql"),
        WorkflowKind("mirror", "keep an audience in sync with a query, sending only changes", Mirror.action, _PEOPLE),
        WorkflowKind("clear", "remove everybody from an audience", Clear.action),
        WorkflowKind("delete", "delete an audience", Delete.action),
        WorkflowKind("many", "export to several audiences", query_file=_PEOPLE),
        WorkflowKind(
            "activation", "export the activations of Audience Studio", shipped_queries=("queries/activation.sql",)
        ),
        WorkflowKind("erase", "remove opt-outs from every customer list", query_file="queries/erase.sql"),
        WorkflowKind(
            "lift",
            "compare the people who were sent with the control group",
            query_file="queries/control.sql",
            shipped_queries=("queries/lift.sql",),
        ),
    )
}


@dataclass(frozen=True)
class Audience:
    """An audience that exists. `size`: how many people Pinterest counts in it; None if that is not known."""

    id: str
    name: str = ""
    size: int | None = None


@dataclass(kw_only=True)
class ProjectAnswers:
    """A user's answers to the questions of `td-pinterest init`, from which a project folder is made."""

    kind: WorkflowKind
    ad_account_id: str
    audiences: Sequence[Audience] = ()
    new_name: str = ""  # of an audience that does not exist yet
    database: str = ""
    query: str = ""  # SQL, as `suppress` and `consent` are, never a file's name; a lift's has templates
    suppress: str = ""
    consent: str = ""
    alert: str = ""  # `mail:ADDRESS`, `slack`, or "" for no alert
    begin: str = ""  # how a mirror begins: replace, adopt or ""
    if_exists: str = ""  # for a create: fail, add, replace or ""
    later_runs: str = ""  # for an activation: add, replace or mirror
    lift: Mapping[str, object] = field(default_factory=dict)  # the content of config/lift.yml, without the audience
    with_status: bool = False  # whether the folder has a second workflow, which reads the audience's status
    from_command: bool = False  # whether the answers are the `settings` and `parameters` of a command
    settings: Mapping[str, object] = field(default_factory=dict)  # of the export, apart from ids and new names
    parameters: Mapping[str, object] = field(default_factory=dict)  # of the task, apart from database and queries


def is_writable_name(name: str) -> bool:
    """Whether a workflow can contain and compare an audience's name: one line, no template, no spaces at its ends."""
    try:
        return TEXT.parse(name) == name and "${" not in name
    except WrongValueError:
        return False


def build_answers(action: ActionSpec, settings: Mapping[str, object], params: Mapping[str, object]) -> ProjectAnswers:
    """Return the answers from which a workflow is made that repeats an export from the command line.

    `action`, `settings`, `params`: of the task. The audience's name is the one that the settings expect, or "".
    Raises click.UsageError for an export that no workflow can repeat.
    """
    kind = next((each for each in KINDS.values() if each.action is action), None)
    if kind is None:
        raise click.UsageError(
            "--write: none of the shipped workflows runs the action in the settings; leave out --write"
        )
    if kind.query_file and "query" not in params:
        raise click.UsageError("--write needs --query, because a workflow reads people from a query")
    if secret := next((key.name for key in CREDENTIALS if key.name in settings), None):
        raise click.UsageError(
            f"--write: {secret} is a secret: remove it from the settings; `td-pinterest authorize` stores it"
        )
    if template := next((name for name, value in {**settings, **params}.items() if "${" in str(value)), None):
        raise click.UsageError(f"--write: {template} contains a template, which digdag would fill in: remove it")
    given = {name: str(value).strip() for name, value in settings.items() if not is_left_out(value)}
    audience_id = given.get(str(action.audience_id)) or given.get("audience_id", "")
    new_name = ""
    # Settings that the template's task has anyway.
    elsewhere = {"type", "ad_account_id", "audience_type", "action"}
    if kind.creates_audience or (action.finds_by_name and not audience_id):
        new_name = given.get("audience_name", "")
        elsewhere.add("audience_name")
    if kind.checks_name and audience_id:
        elsewhere.add("expected_audience_name")
    elsewhere.update(LISTS)
    given_queries = {"query": params.get("query"), **{name: settings.get(name) for name in LISTS}}
    queries: dict[str, Any] = {name: read_sql(str(sql), key=name) for name, sql in given_queries.items() if sql}
    return ProjectAnswers(
        kind=kind,
        ad_account_id=given.get("ad_account_id", ""),
        audiences=[Audience(audience_id, name=given.get("expected_audience_name", ""))] if audience_id else [],
        new_name=new_name,
        from_command=True,
        settings={
            name: value
            for name, value in settings.items()
            if name not in elsewhere and not name.startswith("audience_id")
        },
        database=str(params.get("database") or ""),
        parameters={name: value for name, value in params.items() if name not in ("query", "database")},
        **queries,
    )
