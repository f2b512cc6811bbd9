"""Fixtures for all tests: the guard over everything that can be seen, and the two services to export between."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from td_pinterest_op.errors import ExportError
from tests import guard
from tests.clock import FakeTime
from tests.exporting import Services, services_running


@pytest.fixture(autouse=True)
def nothing_leaks(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> Iterator[None]:
    """Fails a test in which a plain identifier, a digest or a secret shows in a log record, an error's text or stdout.

    The store is checked where a test gets it from: see `Services.export`.
    """
    said: list[str] = []
    original = ExportError.__init__

    def recording(self: ExportError, message: str) -> None:
        original(self, message)
        said.append(str(self))

    monkeypatch.setattr(ExportError, "__init__", recording)
    capture = request.getfixturevalue("capfd") if _shows_output(request) else None
    with caplog.at_level(logging.DEBUG):
        yield
    guard.check("\n".join(said), "an error")
    for phase in ("setup", "call"):
        guard.check("\n".join(record.getMessage() for record in caplog.get_records(phase)), "a log record")
    if capture is not None:
        out, err = capture.readouterr()
        guard.check(out + err, "the output")


def _shows_output(request: pytest.FixtureRequest) -> bool:
    """Whether the test leaves the output to this guard (one that captures it itself checks it itself)."""
    return not {"capfd", "capsys", "capfdbinary", "capsysbinary"} & set(request.fixturenames)


@pytest.fixture
def fake_time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def services(fake_time: FakeTime) -> Iterator[Services]:
    """Treasure Data and Pinterest, emulated, empty, on the fake clock."""
    with services_running(fake_time) as running:
        yield running
