"""The actions, a class for each. A new one is added to `ACTIONS`."""

from functools import partial

from td_pinterest_op.audiences.actions.audience_action import AudienceAction
from td_pinterest_op.audiences.actions.lifecycle import Create, CreateActalike, Delete
from td_pinterest_op.audiences.actions.members import Add, Clear, Remove, Replace
from td_pinterest_op.audiences.actions.mirror import Mirror
from td_pinterest_op.settings import parse
from td_pinterest_op.settings.table import build_export_table

__all__ = ["Add", "Clear", "Create", "CreateActalike", "Delete", "Mirror", "Remove", "Replace"]

ACTIONS: tuple[type[AudienceAction], ...] = (Add, Remove, Create, Replace, Mirror, Delete, Clear, CreateActalike)

EXPORT = build_export_table([each.action for each in ACTIONS], default=Create.action)
parse_export = partial(parse.parse_settings, table=EXPORT)
find_action = partial(parse.find_action, table=EXPORT)
