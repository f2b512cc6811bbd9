"""How far a long phase is: a line every 10 s, nothing when it is short."""

import pytest

from td_pinterest_op.errors import StoppedError
from td_pinterest_op.task_runtime.progress import LOG_INTERVAL_SECONDS, ProgressReporter
from tests.clock import FakeTime


def run(time: FakeTime, *, total: int | None, steps: int, seconds: float, done: int = 1000) -> None:
    """`steps` steps of `done` rows, each of this many seconds."""
    with ProgressReporter(timing=time.timing).show_progress("reading", "rows", total) as progress:
        for step in range(1, steps + 1):
            time.sleep(seconds)
            progress(step * done)


@pytest.mark.parametrize(
    ("total", "steps", "seconds", "done", "expected"),
    [
        (9000, 9, (LOG_INTERVAL_SECONDS - 0.1) / 9, 1000, []),
        (
            120_000,
            20,
            1,
            1000,
            [
                "reading: 10,000 rows, 1,000 a second, 8% of 120,000, 1 min 50 s left",
                "reading: 20,000 rows, 1,000 a second, 17% of 120,000, 1 min 40 s left",
            ],
        ),
        (None, 1, 20, 1000, ["reading: 1,000 rows, 50 a second"]),
        (0, 1, 60, 0, ["reading: 0 rows, 0 a second"]),
    ],
    ids=["short", "long", "without a total", "without progress"],
)
def test_phase_logs_a_line_every_10_seconds(
    fake_time: FakeTime,
    caplog: pytest.LogCaptureFixture,
    total: int | None,
    steps: int,
    seconds: float,
    done: int,
    expected: list[str],
) -> None:
    run(fake_time, total=total, steps=steps, seconds=seconds, done=done)
    assert caplog.messages == expected


def test_phase_raises_once_the_run_was_stopped(fake_time: FakeTime, stopped_run: None) -> None:
    with pytest.raises(StoppedError, match="SIGTERM"):
        run(fake_time, total=None, steps=1, seconds=1)
