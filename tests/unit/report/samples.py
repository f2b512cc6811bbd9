"""A made-up run and a made-up follow-up, and a history of them."""

from datetime import datetime, timedelta, timezone
from typing import Any

from td_pinterest_op.report.entry import ReportEntry, build_entry
from td_pinterest_op.report.page import render_page
from td_pinterest_op.run_history.history_table import RUN_ROW, build_run_row, build_status_check_row
from td_pinterest_op.status import AudienceState

FIRST_DAY = datetime(2026, 11, 1, 7, 0, tzinfo=timezone.utc)
AUDIENCE_ID = "549755885175000002"
MIRROR = {
    "mode": "difference", "people": 1695, "members": 1667, "joined": 40, "left": 12, "resent": 56, "unsure": 0,
}  # fmt: skip


def statistics(*, sent: int = 1000, **others: Any) -> dict[str, Any]:
    """What the operator stores of a run that read 350 rows more than it could use and met 250 people again."""
    return {
        "action": "add_people_to_current_audience",
        "ad_account_id": "549755885175",
        "audience_id": AUDIENCE_ID,
        "audience_name": "Newsletter readers",
        "customer_list_id": "2680059592705",
        "previous_customer_list_id": None,
        "job_id": "1000001",
        "dry_run": False,
        "audience": {"status": "READY", "size": 900},
        "summary": f"{sent} people were added.",
        "version": "0.2.0",
        "rows": {
            "read": sent + 600,
            "valid": sent + 250,
            "invalid": 350,
            "invalid_by_reason": {"empty": 0, "not_an_email": 90, "null": 260},
        },
        "records": {"unique": sent, "duplicate": 250, "sent": sent, "refused": 0},
        "requests": {"sent": 3, "retried": 1, "failed": 0},
        "seconds": {"reading": 41.2, "sending": 190.1, "waiting": 65.0},
    } | others


def run(day: int = 0, **others: Any) -> ReportEntry:
    """A run on a day; every day a hundred people more."""
    row = {"kind": RUN_ROW, "session_uuid": f"session {day} {others.get('time')}", "attempt_id": 1}
    time = {"time": (FIRST_DAY + timedelta(days=day)).timestamp()}
    return build_entry(build_run_row(time | statistics(sent=1000 + 100 * day, **others) | row))


def mirror(day: int = 0, **others: Any) -> ReportEntry:
    """A day of a mirror: 2,000 rows, 305 withheld, 1,695 in the audience, of whom 40 joined; 12 left."""
    withheld = {"suppressed": 200, "without_consent": 5, "control": 100}
    figures = {
        "action": "mirror_current_audience",
        "rows": {"read": 2000, "valid": 2000, "invalid": 0, "invalid_by_reason": {}},
        "records": {"unique": 2000, "duplicate": 0, "sent": 108, "refused": 0, "withheld": withheld},
        "mirror": MIRROR | {"plan": day},
        "members": None if others.get("error") or others.get("dry_run") else 1695,
        "summary": "Mirrored the audience: 40 joining, 12 leaving, 56 resent.",
    }
    return run(day, **figures | others)


def other_action(day: int = 0, **others: Any) -> ReportEntry:
    """A run of an action that is no mirror, as the operator stores it: with a mirror's figures, all zero."""
    return run(day, members=None, mirror=dict.fromkeys(MIRROR, 0) | {"mode": None, "plan": None}, **others)


def follow_up(day: int = 0, *, status: str = "READY", size: int | None = 900, **others: Any) -> ReportEntry:
    """A look at the audience, five hours after the run of the day."""
    state = AudienceState(
        audience_id=AUDIENCE_ID,
        audience_name="Newsletter readers",
        status=status,
        size=size,
        customer_list_id=None,
        customer_list_status="",
    )
    time = {"time": (FIRST_DAY + timedelta(days=day, hours=5)).timestamp()}
    return build_entry(time | dict(build_status_check_row(state.to_json())) | others)


def page(*entries: ReportEntry, **options: Any) -> str:
    """The page about a history, as of the first day."""
    return render_page(entries, now=FIRST_DAY, **options)
