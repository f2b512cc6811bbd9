"""The actions, a class for each."""

# To add an action:
# 1. Test it in a new file of tests/e2e: the audience afterwards, a second run, a dry run, a missing audience. Say which
#    restrictions it honours (tests/e2e/restrictions.py). Add its requests to tests/faults/moments.py, and the outcome
#    of faults at them to tests/faults/test_matrix.py. A value of each setting that only it needs: `NEEDED` in
#    tests/exporting.py.
# 2. Write a class like those in members.py or lifecycle.py: an `ActionSpec` (settings/table.py: its settings and who
#    may use them; also the one for the audience's id, unless it creates the audience), `find_and_check_audience`,
#    `plan_steps`. The action's name begins with a regular verb, of which the report makes "Deleted". A new request:
#    pinterest/api.py.
# 3. Add the class to `ACTIONS`.
# 4. If `init` offers it, add it to `EXPORT_ACTIONS` in cli/project_folder.py, what it asks to cli/interview.py, and its
#    options to tests/e2e/cli/test_init.py.
# 5. Name it in docs/settings.md ("Actions"), docs/guarantees-and-limits.md ("What a run costs") and
#    workflows/config/export.yml.
from functools import partial

from td_pinterest_op.audiences.actions.audience_action import AudienceAction
from td_pinterest_op.audiences.actions.lifecycle import Create, CreateActalike, Delete
from td_pinterest_op.audiences.actions.members import Add, Clear, Remove, Replace
from td_pinterest_op.audiences.actions.mirror import Mirror
from td_pinterest_op.settings import parse
from td_pinterest_op.settings.table import build_export_table

__all__ = ["Add", "Clear", "Create", "CreateActalike", "Delete", "Mirror", "Remove", "Replace"]

ACTIONS: tuple[type[AudienceAction], ...] = (Add, Remove, Create, Replace, Mirror, Delete, Clear, CreateActalike)

EXPORT_SETTINGS = build_export_table([each.action for each in ACTIONS], default=Create.action)
parse_export_settings = partial(parse.parse_settings, table=EXPORT_SETTINGS)
find_action_spec = partial(parse.find_action_spec, table=EXPORT_SETTINGS)
