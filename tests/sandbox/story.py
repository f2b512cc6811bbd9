"""What a run was, in lines for somebody who sees it for the first time: query, plan, sent, held."""

from __future__ import annotations

import re
from collections.abc import Iterator

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.report.entry import Entry
from td_pinterest_op.report.sources import entries
from tests.emulators.pinterest import Audience, Pinterest
from tests.emulators.td import TreasureData

# The plan of one export, as the operator logs it, and the lines of an error that the engines print.
_PLAN = re.compile(r"INFO plan[^\n]*:\n((?: {4,}[^\n]*\n)+)")
_ERROR = re.compile(
    r"Error messages from python: (.*?)(?: \(\w+\))?(?:\n\tfrom |\n\n|\Z)|^error: (?:\* \S+:\n)?(.+?)$",
    re.DOTALL | re.MULTILINE,
)
_WIDTH, _LONGEST_QUERY = 100, 6


def lines(log: str, *, td: TreasureData, with_plan: bool = True) -> Iterator[str]:
    """The exports of a log, some lines each."""
    plans = _PLAN.findall(log) if with_plan else []
    for entry in exports(log):
        query = _query(entry, td)
        yield from labelled("query", query[:_LONGEST_QUERY] + (["…"] if len(query) > _LONGEST_QUERY else []))
        yield from labelled("plan", _plan(plans, entry))
        said = entry.text("error") or entry.text("summary")
        yield from labelled("failed" if entry.text("error") else "sent", [said])
        yield ""


def exports(log: str) -> list[Entry]:
    """The runs of the operator that a log tells of, in its order."""
    try:
        return [entry for entry in entries(log, name="the log") if entry.text("action")]
    except SettingsError:
        return []


def failure(log: str) -> Iterator[str]:
    """What the engine says of a run that failed, unless an export of it has told already."""
    messages = [first or second for first, second in _ERROR.findall(log)]
    said = messages[-1] if messages else "\n".join(log.splitlines()[-5:])
    if said not in {entry.text("error") for entry in exports(log)}:
        yield from labelled("failed", said.splitlines())


def held(pinterest: Pinterest) -> Iterator[str]:
    """What Pinterest holds, an audience a line."""
    audiences = list(pinterest.audiences.values())
    texts = [f'audience {audience.id} "{audience.name}": {_content(audience, pinterest)}' for audience in audiences]
    used = {audience.rule.get("customer_list_id") for audience in audiences if not audience.removed}
    left = [customer_list for customer_list in pinterest.lists.values() if customer_list.id not in used]
    if left:
        texts.append(f"and {len(left)} customer list{'s' if len(left) > 1 else ''} behind none of them")
    return labelled("held", texts or ["Pinterest holds no audience"])


def _content(audience: Audience, pinterest: Pinterest) -> str:
    if audience.removed:
        return "removed"
    if "customer_list_id" not in audience.rule:
        return f"of type {audience.audience_type}"
    return f"{len(pinterest.members_of_audience(audience.id)):,} people"


def _plan(plans: list[str], entry: Entry) -> list[str]:
    """The plan of an export, which is the first that names its audience, if any does; it is taken out of `plans`."""
    names = entry.text("audience_id"), f'"{entry.text("audience_name")}'
    mine = next((plan for plan in plans if any(name and name in plan for name in names)), None)
    if mine is None:
        return []
    plans.remove(mine)
    return mine.splitlines()


def _query(entry: Entry, td: TreasureData) -> list[str]:
    if not entry.text("job_id"):
        return []
    lines = td.jobs.get(entry.text("job_id")).query.splitlines()
    return [line.rstrip() for line in lines if line.strip() and not line.lstrip().startswith("--")]


def labelled(label: str, texts: list[str]) -> Iterator[str]:
    """Lines with a label before the first; long ones go on in the next."""
    for number, text in enumerate(texts):
        words, line = text.split(), ""
        before = label if number == 0 else ""
        for word in words:
            if line and len(line) + len(word) >= _WIDTH - 12:
                yield f"  {before:8}  {line}"
                before, line = "", ""
            line += f" {word}" if line else word
        yield f"  {before:8}  {line}"
