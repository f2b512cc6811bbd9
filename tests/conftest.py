"""Fixtures for all tests: the guard against leaks in all output, and the two emulated services."""

import _thread
import gc
import logging
import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from td_pinterest_op.errors import ExportError
from td_pinterest_op.redaction import secret
from tests import campaigns, children, guard
from tests.clock import FakeTime
from tests.emulators.server import free_port
from tests.exporting import Services, serve_both

_home = pytest.StashKey["tempfile.TemporaryDirectory[str]"]()
_USERS_OWN = re.compile(
    r"(TD|TREASURE_DATA|PINTEREST|DIGDAG|XDG)_|(HTTPS?|ALL|NO)_PROXY$|(REQUESTS|CURL)_CA_BUNDLE$|SSL_CERT_",
    re.IGNORECASE,
)


def pytest_addoption(parser: pytest.Parser) -> None:
    campaigns.add_option(parser)


def pytest_report_header(config: pytest.Config) -> str:
    if config.getoption("--all"):
        return "everything: all rows, all days, all examples"
    return "no browser, one row of each campaign, fewer rows of long tables, days and examples; --all runs everything"


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    return campaigns.is_ignored(collection_path) or None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--all"):
        items[:], left_out = campaigns.split_items(items)
        config.hook.pytest_deselected(items=left_out)
    campaigns.skip_digdag(config, items)
    if config.pluginmanager.hasplugin("_cov"):
        campaigns.leave_unmeasured(items)


def pytest_configure(config: pytest.Config) -> None:
    """Set a home for the tests, since digdag and the operator keep secrets in that of the user."""
    campaigns.configure(config)
    # No deadlines: a busy machine is no failure, and the bench measures time.
    hypothesis.settings.register_profile("tests", deadline=None, max_examples=campaigns.examples(100))
    hypothesis.settings.load_profile("tests")
    if config.pluginmanager.hasplugin("_cov"):
        _measure_threads()
    config.stash[_home] = home = tempfile.TemporaryDirectory(prefix="td-pinterest-tests-")
    for name in filter(_USERS_OWN.match, list(os.environ)):
        del os.environ[name]
    # A py> task takes the python on the PATH; a wrapper there, such as pyenv's, would take longer than Python.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    os.environ |= {"HOME": home.name, "DIGDAG_CONFIG_HOME": f"{home.name}/digdag", "PATH": path}


def _measure_threads() -> None:
    """Let a measurement of the coverage follow threads that are started by `_thread`, as it follows others."""
    start = _thread.start_new_thread

    def start_measured(function: Callable[..., object], arguments: tuple[object, ...]) -> int:
        def run() -> None:
            sys.settrace(threading.gettrace())
            function(*arguments)

        return start(run, ())

    vars(_thread)["start_new_thread"] = start_measured


def pytest_sessionstart(session: pytest.Session) -> None:
    """Stop what measures a worker before pytest-cov does: tests marked `no_cover` would not pause it."""
    coverage = sys.modules.get("coverage")
    if coverage and hasattr(session.config, "workerinput"):
        while measurement := coverage.Coverage.current():
            measurement.stop()


def pytest_collection_finish() -> None:
    """Keep the objects shared by all tests out of garbage collection, and leave most programs unmeasured."""
    children.keep_measurement_apart()
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a test whose output shows what `guard` forbids; a test that captures its output has to check it.

    Drop log and output of a passed test, so that they are not sent to the process that gathers the results.
    """
    report = yield
    if report.when == "teardown" and report.passed and (leaks := guard.find_leaks(report.capstdout + report.capstderr)):
        report.outcome = "failed"
        report.longrepr = f"the output shows {', '.join(leaks)}"
    if report.passed and hasattr(item.config, "workerinput"):
        report.sections.clear()
    return report


def pytest_unconfigure(config: pytest.Config) -> None:
    # pytest collects garbage five more times, which takes a second in the process that gathers all results.
    gc.freeze()
    config.stash[_home].cleanup()


@pytest.fixture(autouse=True)
def forgotten_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forgets the credentials of a test, so that they mask no text of another."""
    monkeypatch.setattr(secret, "_secret_forms", set())


@pytest.fixture(autouse=True)
def restored_log() -> Iterator[None]:
    """Restores the operator's log, which a task leaves as it has set it up."""
    log = logging.getLogger("td_pinterest_op")
    handlers, level, propagate = log.handlers[:], log.level, log.propagate
    yield
    log.handlers[:] = handlers
    log.setLevel(level)
    log.propagate = propagate


@pytest.fixture(autouse=True)
def nothing_leaks(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fails a test that shows a plain identifier, a digest or a secret in a log record or an error's text.

    Nor may an error or a log record of the operator contain a template of digdag.

    `Services.export` checks the stored parameters, `pytest_runtest_makereport` the output.
    """
    said: list[str] = []
    raised: list[ExportError] = []
    original = ExportError.__init__

    def recording(self: ExportError, what: str, **fields: Any) -> None:
        original(self, what, **fields)
        said.extend((str(self), repr(self)))
        raised.append(self)

    monkeypatch.setattr(ExportError, "__init__", recording)
    with caplog.at_level(logging.DEBUG):
        yield
    said += map(str, raised)  # with what was added on the way
    guard.check("\n".join(said), "an error")
    guard.check_inert("\n".join(said), "an error")
    for phase in ("setup", "call"):
        records = caplog.get_records(phase)
        guard.check("\n".join(record.getMessage() for record in records), "a log record")
        own = (record.getMessage() for record in records if record.name.startswith("td_pinterest_op"))
        guard.check_inert("\n".join(own), "a log record")


@pytest.fixture
def fake_time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def services(fake_time: FakeTime) -> Iterator[Services]:
    """Emulators of Treasure Data and Pinterest, empty, on the fake clock."""
    with serve_both(fake_time) as running:
        yield running


@pytest.fixture
def redirect(services: Services) -> str:
    """A redirect address of the app, on a free port of this machine."""
    address = f"http://localhost:{free_port()}/"
    services.pinterest.switches.redirect_uris = frozenset({address})
    return address
