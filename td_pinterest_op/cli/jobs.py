"""The jobs of `td-pinterest init`: what each workflow does, and the answers that fill in its folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import click

from td_pinterest_op.audiences.actions import Add, Clear, Create, Delete, Mirror, Remove, Replace, find_action
from td_pinterest_op.settings.table import CREDENTIALS, ActionSpec
from td_pinterest_op.settings.types import TEXT, WrongValueError
from td_pinterest_op.stats import LISTS
from td_pinterest_op.workflow.task import read_sql


@dataclass(frozen=True, slots=True)
class WorkflowKind:
    """A kind of workflow that `td-pinterest init` can set up, such as `mirror`, and what that workflow needs."""

    workflow: str  # the name of the .dig file
    description: str
    action: ActionSpec | None = None  # of the workflow's settings; None if the workflow is not a single export
    ids: tuple[str, ...] = ()  # the keys of `config/pinterest.yml` with the audience's ids
    query: str | None = None  # the SQL file that selects the people, if the workflow has such a file
    takes_lists: bool = False
    has_several_audiences: bool = False

    @property
    def creates_audience(self) -> bool:
        """Whether the kind's workflows create an audience."""
        return self.action is Create.action

    @property
    def checks_name(self) -> bool:
        """Whether the workflow stops if the audience's name differs from the one in `config/pinterest.yml`."""
        return len(self.ids) > 1

    @property
    def has_known_settings(self) -> bool:
        """Whether the workflow's settings are in its files, and not passed to it by an activation."""
        return bool(self.action) or self.has_several_audiences


_PEOPLE = "people.sql"
JOBS: Mapping[str, WorkflowKind] = {
    "add": WorkflowKind(
        "pinterest_export.dig", "add people to an audience", Add.action, ("audience_id",), _PEOPLE, True
    ),
    "remove": WorkflowKind(
        "pinterest_remove.dig",
        "remove people from an audience",
        Remove.action,
        ("remove", "audience_id"),
        "remove_people.sql",
    ),
    "create": WorkflowKind("pinterest_create.dig", "create an audience", Create.action, (), _PEOPLE, True),
    "replace": WorkflowKind(
        "pinterest_replace.dig",
        "replace the people of an audience",
        Replace.action,
        ("replace", "audience_id"),
        "replace_people.sql",
        takes_lists=True,
    ),
    "mirror": WorkflowKind(
        "pinterest_mirror.dig",
        "keep an audience in sync with a query, sending only changes",
        Mirror.action,
        ("mirror", "audience_id"),
        _PEOPLE,
        takes_lists=True,
    ),
    "clear": WorkflowKind(
        "pinterest_clear.dig", "remove everybody from an audience", Clear.action, ("clear", "audience_id")
    ),
    "delete": WorkflowKind("pinterest_delete.dig", "delete an audience", Delete.action, ("delete", "audience_id")),
    "many": WorkflowKind(
        "pinterest_many.dig", "export to several audiences", query=_PEOPLE, takes_lists=True, has_several_audiences=True
    ),
    "activation": WorkflowKind(
        "pinterest_activation.dig", "export the activations of Audience Studio", takes_lists=True
    ),
    "erase": WorkflowKind("pinterest_erase.dig", "remove opt-outs from every customer list", query="erase.sql"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectAnswers:
    """A user's answers to the questions of `td-pinterest init`, which fill in the new project folder."""

    job: WorkflowKind
    ad_account_id: str
    audiences: Sequence[tuple[str, str]] = ()  # pairs of id and name
    new_name: str = ""
    database: str = ""
    query: str = ""  # SQL text, not a file name, as `suppress` and `consent` are
    suppress: str = ""
    consent: str = ""
    alert: str = ""  # `mail:ADDRESS`, `slack`, or "" for no alert
    engine: str = ""  # of the queries; "" for the default
    settings: Mapping[str, object] | None = None  # the export's other settings; None: those of the template


def is_writable_name(name: str) -> bool:
    """Whether a workflow can contain and compare an audience's name: one line, no template, no spaces at its ends."""
    try:
        return TEXT.read(name, repr) == name and "${" not in name
    except WrongValueError:
        return False


# Settings that the template's task has anyway.
_IN_TEMPLATE = frozenset({"type", "ad_account_id", "audience_type", "action"})


def build_answers(settings: Mapping[str, object], params: Mapping[str, object]) -> ProjectAnswers:
    """Return the answers to the questions of `init` that make it write a workflow with these settings and parameters.

    The audience's name is "": the export finds it. Raises click.UsageError for an export that no workflow can repeat.
    """
    action = find_action(settings)
    job = next((each for each in JOBS.values() if action and each.action is action), None)
    if job is None or action is None:
        raise click.UsageError(
            "--write: none of the shipped workflows runs the action in the settings; leave out --write"
        )
    if job.query and "query" not in params:
        raise click.UsageError("--write needs --query, because a workflow reads people from a query")
    if secret := next((key.name for key in CREDENTIALS if key.name in settings), None):
        raise click.UsageError(
            f"--write: {secret} is a secret: remove it from the settings; `td-pinterest authorize` stores it"
        )
    if template := next((name for name, value in {**settings, **params}.items() if "${" in str(value)), None):
        raise click.UsageError(f"--write: {template} contains a template, which digdag would fill in: remove it")
    audience_id = str((settings.get(str(action.audience_id)) or settings.get("audience_id") or "") if job.ids else "")
    elsewhere = set() if action.finds_by_name else {"audience_name"}
    elsewhere |= {"expected_audience_name"} if audience_id and job.checks_name else set()
    queries = ("query", *LISTS) if job.takes_lists else ("query",)
    return ProjectAnswers(
        job=job,
        ad_account_id=str(settings.get("ad_account_id") or ""),
        audiences=[(audience_id, "")] if audience_id else [],
        new_name=str(settings.get("audience_name") or ""),
        settings={
            name: value
            for name, value in settings.items()
            if name not in _IN_TEMPLATE | elsewhere and not name.startswith("audience_id")
        },
        **{name: str(params.get(name) or "") for name in ("database", "engine")},
        **{name: read_sql(str(params[name]), key=name) for name in queries if name in params},
    )
