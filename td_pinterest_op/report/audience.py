"""The history of one audience, and histories of several out of one list of entries."""

from collections.abc import Sequence
from dataclasses import dataclass

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.report.entry import Entry
from td_pinterest_op.run_history.columns import FAILED, FOLLOW_UP, LIFT, RUN, SUCCESS


@dataclass(frozen=True, slots=True, kw_only=True)
class AudienceHistory:
    """The entries of one audience, oldest first. `audience_id` is "" if no entry has one."""

    audience_id: str
    entries: Sequence[Entry]

    @property
    def runs(self) -> list[Entry]:
        """The runs, oldest first."""
        return [entry for entry in self.entries if entry.kind == RUN]

    @property
    def run(self) -> Entry | None:
        """The last run."""
        return self.runs[-1] if self.runs else None

    @property
    def previous(self) -> Entry | None:
        """The run before the last run."""
        return self.runs[-2] if len(self.runs) > 1 else None

    @property
    def follow_up(self) -> Entry | None:
        """The newest later look at the audience that read its status; None without one."""
        return _find_newest(self._follow_ups, "audience_status")

    @property
    def latest(self) -> Entry | None:
        """The last run, or the last follow-up of an audience without runs."""
        return self.run or self.follow_up

    @property
    def size(self) -> Entry | None:
        """The newest entry that has the audience's size."""
        return _find_newest(self.entries, "audience_size")

    @property
    def size_since_run(self) -> Entry | None:
        """The newest follow-up after the last run that has the audience's size."""
        return _find_newest(self._follow_ups, "audience_size")

    @property
    def lift(self) -> Entry | None:
        """The newest successful comparison with the control group."""
        lifts = [entry for entry in self.entries if entry.kind == LIFT and entry.outcome == SUCCESS and entry.lift]
        return lifts[-1] if lifts else None

    @property
    def title(self) -> str:
        """The audience's newest known name, or else its id."""
        named = _find_newest(self.entries, "audience_name")
        return named.text("audience_name") if named else f"audience {self.audience_id or 'without an id'}"

    @property
    def _follow_ups(self) -> list[Entry]:
        """The follow-ups after the last run."""
        start = self.run.at if self.run else None
        follow_ups = [entry for entry in self.entries if entry.kind == FOLLOW_UP]
        return [entry for entry in follow_ups if not (start and entry.at and entry.at < start)]


def build_histories(entries: Sequence[Entry], *, audience_id: str | None = None) -> list[AudienceHistory]:
    """Return the history of each audience, or only that of `audience_id`, sorted by name.

    Raises SettingsError if there is no run of it, and no follow-up that knows its status.
    """
    last = _drop_repeated_entries(entries)
    ids = [*dict.fromkeys(entry.text("audience_id") for entry in last if entry.text("audience_id"))]
    if audience_id is not None and audience_id not in ids:
        raise SettingsError(
            f"the history has no rows of audience {audience_id}; it has rows of {', '.join(ids) or 'none'}"
        )
    if audience_id is not None or len(ids) > 1:
        every = [_build_history(last, known) for known in ([audience_id] if audience_id else ids)]
    else:
        every = [AudienceHistory(audience_id="".join(ids), entries=last)]
    shown = [history for history in every if history.latest]
    if not shown:
        raise SettingsError(
            "the history of this audience contains neither a run nor a follow-up with the audience's "
            "status: run the workflow first"
        )
    return sorted(shown, key=lambda history: (history.title.casefold(), history.audience_id))


def find_failures(entries: Sequence[Entry]) -> list[Entry]:
    """Return the failed entries, newest first."""
    return [entry for entry in reversed(entries) if entry.outcome == FAILED]


def _drop_repeated_entries(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries; of two for one session, attempt, action and audience, only the later one."""
    return list({(entry.kind, entry.key, entry.text("audience_id")): entry for entry in entries}.values())


def _build_history(entries: Sequence[Entry], audience_id: str) -> AudienceHistory:
    """Return the history of one audience, with the runs that know only its name or its workflow."""
    own = [entry for entry in entries if entry.text("audience_id") == audience_id]
    names = {name: {entry.text(name) for entry in own} for name in ("audience_name", "workflow")}

    def is_about_audience(entry: Entry) -> bool:
        if known := entry.text("audience_id"):
            return known == audience_id
        # A run that failed early knows its audience's name, or only its workflow.
        name = "audience_name" if entry.text("audience_name") else "workflow"
        return entry.text(name) in names[name]

    by_key = {(entry.kind, entry.key): entry for entry in entries if is_about_audience(entry)}
    return AudienceHistory(audience_id=audience_id, entries=list(by_key.values()))


def _find_newest(entries: Sequence[Entry], name: str) -> Entry | None:
    """Return the newest entry that has a value of this name, None without one."""
    return next((entry for entry in reversed(entries) if entry.text(name)), None)
