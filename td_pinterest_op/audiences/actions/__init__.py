"""The actions: a class for each, with all there is to know of it. A new one is added to `ACTIONS`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from td_pinterest_op.audiences.actions.actalike import CreateActalike
from td_pinterest_op.audiences.actions.change import Add, Remove
from td_pinterest_op.audiences.actions.create import Create
from td_pinterest_op.audiences.actions.delete import Delete
from td_pinterest_op.audiences.actions.procedure import Procedure
from td_pinterest_op.audiences.actions.refill import Clear, Replace
from td_pinterest_op.audiences.sender import Sender
from td_pinterest_op.pinterest.api import Api
from td_pinterest_op.report.verdict import Outcome
from td_pinterest_op.settings import parse as settings_parse
from td_pinterest_op.settings.parse import Settings
from td_pinterest_op.settings.table import export_table
from td_pinterest_op.stats import Stats

__all__ = [
    "ACTIONS",
    "EXPORT",
    "OUTCOMES",
    "Add",
    "Clear",
    "Create",
    "CreateActalike",
    "Delete",
    "Remove",
    "Replace",
    "action_of",
    "chosen",
    "parse",
]

ACTIONS: tuple[type[Procedure], ...] = (Add, Remove, Create, Replace, Delete, Clear, CreateActalike)

EXPORT = export_table([each.action for each in ACTIONS], default=Create.action)
# The functions of `settings.parse`, for all actions.
parse = partial(settings_parse.parse, table=EXPORT)
action_of = partial(settings_parse.action_of, table=EXPORT)

OUTCOMES: Mapping[str, Outcome] = {each.action.name: each.outcome for each in ACTIONS}


def chosen(*, settings: Settings, api: Api, stats: Stats, session_key: str, sender: Sender) -> Procedure:
    """The action that the settings name, ready to be checked and done."""
    procedure = next(each for each in ACTIONS if each.action is settings.action)
    return procedure(settings=settings, api=api, stats=stats, session_key=session_key, sender=sender)
