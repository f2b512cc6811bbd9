from __future__ import annotations

import builtins
import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from td_pinterest_op.errors import LimitError
from td_pinterest_op.report import page
from td_pinterest_op.report.after_run import reporting_to as reporting_with
from td_pinterest_op.report.after_run import write as write_with
from td_pinterest_op.report.sources import entries
from tests.unit.report.samples import FIRST_DAY, OUTCOMES, statistics

reporting_to = partial(reporting_with, outcomes=OUTCOMES)
write = partial(write_with, outcomes=OUTCOMES)


def wall_clock() -> float:
    return FIRST_DAY.timestamp()


def test_each_run_adds_itself_to_the_page(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "reports" / "page.html"
    for sent in (100, 200):
        with reporting_to(str(path), lambda: statistics(sent=sent), wall_clock=lambda: float(sent)):  # noqa: B023
            pass
    assert [100, 200] == [run.number("records_sent") for run in entries(path.read_text(), name="it")]
    assert f"report: {path}" in caplog.text
    assert [path] == list(path.parent.iterdir())
    assert 0o644 == 0o644 & path.stat().st_mode


@pytest.mark.parametrize(
    ("error", "shown", "hidden"),
    [
        (LimitError("Only 3 records."), "Only 3 records.", "LimitError"),
        # It could quote a row.
        (ValueError("row: ann, 12 Main Street"), "ValueError", "Main Street"),
    ],
)
def test_a_failed_run_is_reported_with_its_error(tmp_path: Path, error: Exception, shown: str, hidden: str) -> None:
    path = tmp_path / "page.html"
    with pytest.raises(type(error)), reporting_to(str(path), statistics, wall_clock=wall_clock):
        raise error
    assert "The last run failed" in path.read_text()
    assert shown in path.read_text()
    assert hidden not in path.read_text()


def test_without_the_setting_nothing_is_written_and_nothing_is_asked() -> None:
    with reporting_to(None, lambda: pytest.fail("asked"), wall_clock=wall_clock):
        pass


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\xffmine", " to {path}: the file is there already and is not a report of ours"),
        (b'<template id="td-pinterest-report">half of it</template>', ": {path} cannot be read as statistics: JSON"),
        (b'<template id="td-pinterest-report">[]</template>', ": {path} holds no statistics of an export"),
    ],
)
def test_a_file_of_somebody_else_and_a_report_whose_data_is_lost_are_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes, why: str
) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(content)
    write(path, statistics(), error="", now=FIRST_DAY)
    assert content == path.read_bytes()
    assert f"no report was written{why.format(path=path)}" in caplog.text


@pytest.mark.parametrize("name", ["jinja2", "pygal"])
def test_a_missing_package_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    real = builtins.__import__

    def without(module: str, *args: Any, **kwargs: Any) -> Any:
        if module == "td_pinterest_op.report.page":
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
        return real(module, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    write(tmp_path / "page.html", statistics(), error="", now=FIRST_DAY)
    assert f"no report was written: the Python package {name} is not installed" in caplog.text


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    write(tmp_path / "file" / "page.html", statistics(), error="", now=FIRST_DAY)
    assert [logging.WARNING] == [record.levelno for record in caplog.records]


def test_a_mistake_in_the_report_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> Mapping[str, object]:
        raise KeyError("ann, 12 Main Street")

    monkeypatch.setattr(page, "page", broken)
    write(tmp_path / "page.html", statistics(), error="", now=FIRST_DAY)
    assert "no report was written: KeyError at test_after_run.py" in caplog.text
    assert "Main Street" not in caplog.text
