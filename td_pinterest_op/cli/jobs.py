"""The jobs of `td-pinterest init`: what each workflow does, and the answers that fill in its folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import click

from td_pinterest_op.audiences.actions import Add, Clear, Create, Delete, Mirror, Remove, Replace, find_action
from td_pinterest_op.settings.table import CREDENTIALS, ActionSpec


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
    settings: Mapping[str, object] = field(default_factory=dict)  # further settings of the export


# Settings of an export that a folder has in another form than as lines of the task.
_ELSEWHERE = frozenset(
    {"type", "ad_account_id", "audience_type", "action", "audience_name", "dry_run", "expected_audience_name"}
)


def build_answers(settings: Mapping[str, object], params: Mapping[str, object]) -> ProjectAnswers:
    """Return the answers to the questions of `init` that make it write a workflow with these settings and parameters.

    Raises click.UsageError for an export that no workflow can repeat.
    """
    action = find_action(settings)
    job = next((each for each in JOBS.values() if action and each.action is action), None)
    if job is None:
        raise click.UsageError(
            "--write: none of the shipped workflows runs the action in the settings; leave out --write"
        )
    if job.query and "query" not in params:
        raise click.UsageError("--write needs --query, because a workflow reads people from a query")
    others = {
        name: value for name, value in settings.items() if name not in _ELSEWHERE and not name.startswith("audience_id")
    }
    if secret := next((key.name for key in CREDENTIALS if key.name in others), None):
        raise click.UsageError(
            f"--write: {secret} is a secret: remove it from the settings; `td-pinterest authorize` stores it"
        )
    ids = [str(value) for name, value in settings.items() if name.startswith("audience_id") and value]
    return ProjectAnswers(
        job=job,
        ad_account_id=str(settings.get("ad_account_id") or ""),
        audiences=[(each, str(settings.get("expected_audience_name") or "")) for each in ids[:1]],
        new_name=str(settings.get("audience_name") or ""),
        settings=others,
        **{name: str(params.get(name) or "") for name in ("database", "query", "suppress", "consent")},
    )
