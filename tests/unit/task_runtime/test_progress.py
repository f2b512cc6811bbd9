"""How far a long phase is: a line every 10 s, nothing when it is short."""

import pytest

from td_pinterest_op.errors import StoppedError
from td_pinterest_op.task_runtime.progress import LOG_INTERVAL, Phase, ProgressReporter
from tests.clock import FakeTime


def run(time: FakeTime, *, total: int | None, steps: int, seconds: float, done: int = 1000) -> None:
    """`steps` steps of `done` rows, each of this many seconds."""
    with ProgressReporter(timing=time.timing).show_progress(
        Phase(name="reading", unit="rows", total=total)
    ) as progress:
        for step in range(1, steps + 1):
            time.sleep(seconds)
            progress(step * done)


def test_short_phase_logs_nothing(fake_time: FakeTime, caplog: pytest.LogCaptureFixture) -> None:
    run(fake_time, total=9000, steps=9, seconds=(LOG_INTERVAL - 0.1) / 9)
    assert caplog.messages == []


def test_long_phase_logs_a_line_every_10_seconds(fake_time: FakeTime, caplog: pytest.LogCaptureFixture) -> None:
    run(fake_time, total=120_000, steps=30, seconds=1)
    assert caplog.messages == [
        "reading: 10,000 rows, 1,000 a second, 8% of 120,000, 1 min 50 s left",
        "reading: 20,000 rows, 1,000 a second, 17% of 120,000, 1 min 40 s left",
        "reading: 30,000 rows, 1,000 a second, 25% of 120,000, 1 min 30 s left",
    ]


def test_phase_without_a_total_logs_no_share(fake_time: FakeTime, caplog: pytest.LogCaptureFixture) -> None:
    run(fake_time, total=None, steps=1, seconds=20)
    assert caplog.messages == ["reading: 1,000 rows, 50 a second"]


@pytest.mark.parametrize(
    ("done", "total", "seconds", "left"),
    [
        (20, 1220, 60, "1 h left"),
        (600, 1200, 100, "1 min 40 s left"),
        (2000, 1200, 100, "0 s left"),
    ],
)
def test_time_left_has_fitting_units(
    fake_time: FakeTime, caplog: pytest.LogCaptureFixture, done: int, total: int, seconds: int, left: str
) -> None:
    run(fake_time, total=total, steps=1, seconds=seconds, done=done)
    assert caplog.messages[-1].endswith(f", {left}")


def test_phase_without_progress_has_a_rate_of_zero(fake_time: FakeTime, caplog: pytest.LogCaptureFixture) -> None:
    run(fake_time, total=0, steps=1, seconds=60, done=0)
    assert caplog.messages == ["reading: 0 rows, 0 a second"]


def test_phase_raises_once_the_run_was_stopped(fake_time: FakeTime, stopped_run: None) -> None:
    with pytest.raises(StoppedError, match="SIGTERM"):
        run(fake_time, total=None, steps=1, seconds=1)


@pytest.mark.parametrize(
    ("pause", "texts"),
    [
        (0.0, ["30 s left", "waiting for 10 s", "waiting for 20 s", "0 s left"]),
        (
            35.0,
            ["30 s left", "continues at 08:00:45 UTC, in 25 s", "continues at 08:00:45 UTC, in 15 s", "0 s left"],
        ),
    ],
)
def test_waiting_phase_logs_when_it_goes_on(
    fake_time: FakeTime, caplog: pytest.LogCaptureFixture, pause: float, texts: list[str]
) -> None:
    ends = fake_time.now() + 10 + pause
    phase = Phase(name="sending", unit="records", total=4000, pause=lambda: pause and ends - fake_time.now())
    with ProgressReporter(timing=fake_time.timing).show_progress(phase) as progress:
        for done in (1000, 1000, 1000, 4000):
            fake_time.sleep(LOG_INTERVAL)
            progress(done)
    assert texts == [message.partition("%")[2].partition(", ")[2] for message in caplog.messages]
