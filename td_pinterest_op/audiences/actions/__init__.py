"""The actions, a class for each. A new one is added to `ACTIONS`."""

from collections.abc import Mapping
from functools import partial

from td_pinterest_op.audiences.actions.actalike import CreateActalike
from td_pinterest_op.audiences.actions.audience_action import AudienceAction
from td_pinterest_op.audiences.actions.change import Add, Remove
from td_pinterest_op.audiences.actions.create import Create
from td_pinterest_op.audiences.actions.delete import Delete
from td_pinterest_op.audiences.actions.mirror import Mirror
from td_pinterest_op.audiences.actions.refill import Clear, Replace
from td_pinterest_op.audiences.request import ExportRequest
from td_pinterest_op.audiences.sender import Sender
from td_pinterest_op.report.verdict import ReportText
from td_pinterest_op.settings import parse
from td_pinterest_op.settings.table import build_export_table
from td_pinterest_op.stats import Stats
from td_pinterest_op.workflow.services import Services

__all__ = [
    "ACTIONS",
    "EXPORT",
    "OUTCOMES",
    "Add",
    "Clear",
    "Create",
    "CreateActalike",
    "Delete",
    "Mirror",
    "Remove",
    "Replace",
    "build_action",
    "find_action",
    "parse_export",
]

ACTIONS: tuple[type[AudienceAction], ...] = (Add, Remove, Create, Replace, Mirror, Delete, Clear, CreateActalike)

EXPORT = build_export_table([each.action for each in ACTIONS], default=Create.action)
# The functions of `settings.parse`, for all actions.
parse_export = partial(parse.parse_settings, table=EXPORT)
find_action = partial(parse.find_action, table=EXPORT)

REPORT_TEXTS: Mapping[str, ReportText] = {each.action.name: each.report_text for each in ACTIONS}


def build_action(*, request: ExportRequest, services: Services, stats: Stats, sender: Sender) -> AudienceAction:
    """Return the action that the request names, ready to be checked and run."""
    action = next(each for each in ACTIONS if each.action is request.settings.action)
    return action(request=request, services=services, stats=stats, sender=sender)
