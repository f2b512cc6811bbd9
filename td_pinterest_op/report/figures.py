"""Numbers, durations and times as text for a report page."""

from datetime import datetime

from td_pinterest_op.runtime import clock


def format_number(value: float | None) -> str:
    """Return a number such as "12,345", or "–" for None."""
    return "–" if value is None else f"{value:,.0f}"


def format_share(part: float | None, whole: float | None) -> str:
    """Return a share such as "1.2 %", or "–" if a number is missing or `whole` is 0."""
    if part is None or not whole:
        return "–"
    return f"{100 * part / whole:.1f} %"


def format_difference(now: float | None, before: float | None) -> str:
    """Return the change of a figure, such as "+12", "−3" or "same", or "" if a number is missing."""
    if now is None or before is None:
        return ""
    difference = round(now - before)
    return f"{difference:+,}".replace("-", "−") if difference else "same"


def format_duration_or_dash(seconds: float | None) -> str:
    """Return a duration such as "4 min 10 s", or "–" for None."""
    return "–" if seconds is None else clock.format_duration(seconds)


def format_time(at: datetime | None) -> str:
    """Return a time such as "25 Nov 2026, 07:00 UTC" with no-break spaces, or "at an unknown time" for None."""
    return f"{at:%d %b %Y, %H:%M} UTC".lstrip("0").replace(" ", "\N{NO-BREAK SPACE}") if at else "at an unknown time"
