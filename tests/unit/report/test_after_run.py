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


def test_a_failed_run_is_reported_with_its_error(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    with pytest.raises(LimitError), reporting_to(str(path), statistics, wall_clock=wall_clock):
        raise LimitError("Only 3 records.")
    assert "The last run failed" in path.read_text()
    assert "Only 3 records." in path.read_text()


def test_the_text_of_an_unexpected_error_does_not_reach_the_page(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    with pytest.raises(ValueError), reporting_to(str(path), statistics, wall_clock=wall_clock):
        raise ValueError("row: ann, 12 Main Street")
    assert "ValueError" in path.read_text()
    assert "Main Street" not in path.read_text()


def test_without_the_setting_nothing_is_written_and_nothing_is_asked() -> None:
    with reporting_to(None, lambda: pytest.fail("asked"), wall_clock=wall_clock):
        pass


def test_a_file_of_somebody_else_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "index.html"
    path.write_bytes(b"\xffmine")
    write(path, statistics(), error="", now=FIRST_DAY)
    assert b"\xffmine" == path.read_bytes()
    assert f"no report was written to {path}: the file is there already and is not a report of ours" in caplog.text


@pytest.mark.parametrize(
    ("content", "why"),
    [("half of it", "cannot be read as statistics: JSONDecodeError"), ("[]", "holds no statistics of an export")],
)
def test_a_report_of_ours_whose_data_is_lost_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str, why: str
) -> None:
    path = tmp_path / "page.html"
    damaged = f'<template id="td-pinterest-report">{content}</template>'
    path.write_text(damaged)
    write(path, statistics(), error="", now=FIRST_DAY)
    assert damaged == path.read_text()
    assert f"no report was written: {path} {why}" in caplog.text


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
