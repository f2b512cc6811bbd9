"""A day of the mirror next to a replace of everybody: requests, bytes downloaded, seconds.

The days run in this process on a fake clock without waits: `seconds` are CPU time, including the emulators'.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.bench.measuring import format_table
from tests.mirror.days import DATABASE, PEOPLE, World, world

SHARES = (0.01, 0.1, 1.0)
_BATCH = 10_000
_PEOPLE = "SELECT 'person' || i || '@shop.example' AS email FROM range({first}, {last}) r(i)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """A day with `people` on which a `share` of them leaves and as many join; None: everybody is replaced."""

    people: int
    share: float | None
    requests: int
    downloaded: int
    seconds: float


def measure(people: int, *, say: Callable[[str], None]) -> list[Day]:
    """Measure the first day, a replace, and a day for each share. Raises ExportError when a day fails."""
    with world(batch=_BATCH) as mirrored:
        mirrored.audience()
        mirrored.settings["max_leave_ratio"] = 1.0
        mirrored.task["query"] = PEOPLE
        first, days = 0, []
        for number, share in enumerate((None, *SHARES)):
            say(f"mirroring {people:,} people, change {'all, by a replace' if share is None else share}")
            first += int(people * (share or 0))
            days.append(_day(mirrored, number, people=people, first=first, share=share))
        return days


def _day(mirrored: World, number: int, *, people: int, first: int, share: float | None) -> Day:
    mirrored.td.create(DATABASE, "people", _PEOPLE.format(first=first, last=first + people))
    before, jobs = len(mirrored.pinterest.calls.writes()), len(mirrored.td.jobs.all())
    begin = time.process_time()
    ran = mirrored.run(number)
    seconds = time.process_time() - begin
    if ran.error:
        raise ran.error
    new = mirrored.td.jobs.all()[: len(mirrored.td.jobs.all()) - jobs]
    return Day(
        people=people,
        share=share,
        requests=sum(call.records > 0 for call in mirrored.pinterest.calls.writes()[before:]),
        downloaded=sum(job.output.size for job in new if job.output),
        seconds=seconds,
    )


def table(days: Sequence[Day]) -> str:
    """Return the days as Markdown."""
    return format_table(
        ("people", "change each way", "requests with records", "MB downloaded", "CPU seconds"),
        (
            (
                f"{day.people:,}",
                "replace" if day.share is None else f"{day.share:.0%}",
                f"{day.requests:,}",
                f"{day.downloaded / 1e6:.1f}",
                f"{day.seconds:.1f}",
            )
            for day in days
        ),
    )
