import os
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from td_pinterest_op.errors import ExportError, LimitError
from td_pinterest_op.report import page
from td_pinterest_op.report.page_file import write_report_page, write_run_report
from tests.exporting import Services, people
from tests.unit.report.samples import FIRST_DAY, statistics


def test_report_of_a_run_replaces_an_earlier_page(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "reports" / "page.html"
    for sent in (123, 456):
        write_run_report(path, statistics(sent=sent), error="", now=FIRST_DAY)
    assert ("123 people" in path.read_text(), "456 people" in path.read_text()) == (False, True)
    assert f"report: {path}" in caplog.text
    assert list(path.parent.iterdir()) == [path]
    assert 0o644 & path.stat().st_mode == 0o644


@pytest.mark.parametrize(
    ("error", "shown", "hidden"),
    [
        (LimitError("Only 3 records."), "Only 3 records.", "LimitError"),
        # The text of any other error could quote a row.
        (ValueError("row: ann, 12 Main Street"), "ValueError", "Main Street"),
    ],
)
def test_a_failed_export_is_reported_with_its_error(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, shown: str, hidden: str
) -> None:
    path = tmp_path / "page.html"
    monkeypatch.setattr(
        "td_pinterest_op.audiences.actions.audience_action.check_export_limits", Mock(side_effect=error)
    )
    settings = {"action": "add_people_to_current_audience", "audience_id": services.audience(), "report": str(path)}
    with pytest.raises(ExportError):
        services.export(settings, job_id=services.job(people(3)))
    assert "The last run failed" in path.read_text()
    assert shown in path.read_text()
    assert hidden not in path.read_text()


@pytest.mark.parametrize("content", [b"\xffmine", b"<!doctype html><title>Report</title>", b""])
def test_a_file_that_is_no_report_is_not_overwritten(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(content)
    write_run_report(path, statistics(), error="", now=FIRST_DAY)
    assert path.read_bytes() == content
    assert f"no report was written to {path}: the file exists and is not a report of td_pinterest_op" in caplog.text


def test_lone_surrogate_is_written_as_a_question_mark(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_report_page(path, "a\ud800")
    assert path.read_text() == "a?"


def test_page_is_written_to_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with os.fdopen(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        write_report_page(pipe, "a page")
        assert reader.read() == b"a page"


def test_report_of_a_run_to_a_pipe_without_a_reader_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.mkfifo(tmp_path / "pipe.html")
    write_run_report(tmp_path / "pipe.html", statistics(), error="", now=FIRST_DAY)
    assert "it is not a regular file" in caplog.text


def test_a_missing_package_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delitem(sys.modules, "td_pinterest_op.report.page")
    monkeypatch.setitem(sys.modules, "jinja2", None)
    write_run_report(tmp_path / "page.html", statistics(), error="", now=FIRST_DAY)
    assert "no report was written: the Python package jinja2 is not installed" in caplog.text


def test_an_unexpected_error_in_the_report_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(page, "render_page", Mock(side_effect=KeyError("ann, 12 Main Street")))
    write_run_report(tmp_path / "page.html", statistics(), error="", now=FIRST_DAY)
    assert ": KeyError at " in caplog.text
    assert "Main Street" not in caplog.text
