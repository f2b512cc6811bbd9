"""The histories of audiences, made from a list of entries."""

from collections.abc import Sequence
from dataclasses import dataclass

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.report.entry import Entry
from td_pinterest_op.run_history.table import FOLLOW_UP, LIFT, RUN, SUCCESS


@dataclass(frozen=True, slots=True, kw_only=True)
class AudienceHistory:
    """One audience's entries (runs, follow-ups, comparisons), oldest first, and the newest of each kind or None.

    `audience_id` is "" if no entry has one. `title`: the newest known name, or else the id. `run` and `previous`: the
    last two runs. `follow_up` and `size_since_run`: the newest follow-up after the last run that has the audience's
    status, or its size. `size`: the newest entry with the size. `lift`: the newest successful comparison.
    """

    audience_id: str
    title: str
    entries: Sequence[Entry]
    run: Entry | None
    previous: Entry | None
    follow_up: Entry | None
    size: Entry | None
    size_since_run: Entry | None
    lift: Entry | None

    @property
    def latest_entry(self) -> Entry | None:
        """The last run, or the last follow-up if the audience has no run, or None if it has neither."""
        return self.run or self.follow_up


def build_histories(entries: Sequence[Entry], *, audience_id: str | None = None) -> list[AudienceHistory]:
    """Return the histories of all audiences, or only the one of `audience_id`, sorted by the audiences' names.

    Raises SettingsError if the audience has no entry, or if there is neither a run nor a follow-up with a status.
    """
    # Of two entries for one session, attempt, action and audience, the later one counts.
    last = list({(entry.kind, entry.key, entry.get_text("audience_id")): entry for entry in entries}.values())
    ids = [*dict.fromkeys(entry.get_text("audience_id") for entry in last if entry.get_text("audience_id"))]
    if audience_id is not None and audience_id not in ids:
        raise SettingsError(
            f"the history has no rows of audience {audience_id}: name an audience that it has rows of "
            f"({', '.join(ids) or 'there is none'})"
        )
    if audience_id is not None or len(ids) > 1:
        wanted = [audience_id] if audience_id else ids
        every = [_build_history(known, _select_entries(last, known)) for known in wanted]
    else:
        every = [_build_history("".join(ids), last)]
    shown = [history for history in every if history.latest_entry]
    if not shown:
        raise SettingsError(
            "the history has no runs and no status checks of audience "
            f"{audience_id or ', '.join(ids) or 'without an id'}: run its export workflow first"
        )
    return sorted(shown, key=lambda history: (history.title.casefold(), history.audience_id))


def _select_entries(entries: Sequence[Entry], audience_id: str) -> list[Entry]:
    """Return one audience's entries, with the runs that have no audience id but its name or its workflow."""
    own = [entry for entry in entries if entry.get_text("audience_id") == audience_id]
    names = {name: {entry.get_text(name) for entry in own} for name in ("audience_name", "workflow")}

    def is_about_audience(entry: Entry) -> bool:
        """Whether an entry has this audience's id or, without an id, its name or its workflow."""
        if known := entry.get_text("audience_id"):
            return known == audience_id
        # A run that failed early knows its audience's name, or only its workflow.
        name = "audience_name" if entry.get_text("audience_name") else "workflow"
        return entry.get_text(name) in names[name]

    return list({(entry.kind, entry.key): entry for entry in entries if is_about_audience(entry)}.values())


def _build_history(audience_id: str, entries: Sequence[Entry]) -> AudienceHistory:
    """Return one audience's history, built from its entries (oldest first)."""
    previous, run = [None, None, *(entry for entry in entries if entry.kind == RUN)][-2:]
    start = run.at if run else None
    follow_ups = [entry for entry in entries if entry.kind == FOLLOW_UP]
    follow_ups = [entry for entry in follow_ups if not (start and entry.at and entry.at < start)]
    lifts = [entry for entry in entries if entry.kind == LIFT and entry.outcome == SUCCESS and entry.lift]
    named = _find_newest(entries, "audience_name")
    return AudienceHistory(
        audience_id=audience_id,
        title=named.get_text("audience_name") if named else f"audience {audience_id or 'without an id'}",
        entries=entries,
        run=run,
        previous=previous,
        follow_up=_find_newest(follow_ups, "audience_status"),
        size=_find_newest(entries, "audience_size"),
        size_since_run=_find_newest(follow_ups, "audience_size"),
        lift=lifts[-1] if lifts else None,
    )


def _find_newest(entries: Sequence[Entry], name: str) -> Entry | None:
    """Return the newest entry with a value in the column `name`, or None if no entry has one."""
    return next((entry for entry in reversed(entries) if entry.get_text(name)), None)
