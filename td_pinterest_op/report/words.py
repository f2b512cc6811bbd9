"""A word for what each action does."""

from td_pinterest_op.report.entry import Entry
from td_pinterest_op.run_history.columns import FAILED, FOLLOW_UP, LIFT

_KINDS = {FOLLOW_UP: "Follow-up", LIFT: "Comparison"}


def action_word(entry: Entry) -> str:
    """Return an entry's action as a word: "Replaced"; "Replace" for a dry run or a failed run.

    The name of an action begins with its verb.
    """
    action = entry.text("action")
    if entry.kind in _KINDS or not action:
        return _KINDS.get(entry.kind, "Run")
    verb = "activate" if action == "activation" else action.partition("_")[0]
    ending = "" if entry.dry_run or entry.outcome == FAILED else "d" if verb.endswith("e") else "ed"
    of = " a look-alike" if action == "create_actalike_audience" else ""
    return f"{verb.capitalize()}{ending}{of}"
