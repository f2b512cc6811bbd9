"""A word for what each action does."""

from __future__ import annotations

from td_pinterest_op.report.entry import Entry
from td_pinterest_op.run_history.columns import FAILED, FOLLOW_UP, LIFT

# After a run, and for a dry run or a run that failed.
_WORDS = {
    "create_new_audience": ("Created", "Create"),
    "add_people_to_current_audience": ("Added", "Add"),
    "remove_people_from_current_audience": ("Removed", "Remove"),
    "replace_current_audience": ("Replaced", "Replace"),
    "mirror_current_audience": ("Mirrored", "Mirror"),
    "clear_current_audience": ("Cleared", "Clear"),
    "delete_current_audience": ("Deleted", "Delete"),
    "create_actalike_audience": ("Created a look-alike", "Create a look-alike"),
    "mirror": ("Mirrored", "Mirror"),
    "activation": ("Activated", "Activate"),
    "erase": ("Erased", "Erase"),
}
_KINDS = {FOLLOW_UP: "Follow-up", LIFT: "Comparison"}


def action_word(entry: Entry) -> str:
    """Return what an entry did: "Replaced"; "Replace" for a dry run and for a run that failed."""
    if entry.kind in _KINDS:
        return _KINDS[entry.kind]
    done, name = _WORDS.get(entry.text("action"), ("Run", "Run"))
    return name if entry.dry_run or entry.outcome == FAILED else done
