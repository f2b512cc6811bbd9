"""Figures that the statistics of an export do not have."""

from __future__ import annotations

from pathlib import Path

import pytest

from td_pinterest_op.cli.check import findings
from tests.unit.cli.lint.samples import GOOD


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("${pinterest.records.sent} of ${pinterest.rows.invalid_by_reason}", []),
        ("${pinterest.summary.replace(/x/g, 'y')}", []),
        ("${typeof pinterest === 'undefined' ? 0 : pinterest.records.sent}", []),
        ("${pinterest_mirror.column} ${my.pinterest.people} pinterest.record", []),
        (
            "${pinterest.record.sent}",
            ["pinterest.record.sent: the statistics of an export have no record; did you mean records?"],
        ),
        (
            "${1 + pinterest.records.snt}",
            ["pinterest.records.snt: the statistics of an export have no snt; did you mean sent?"],
        ),
    ],
)
def test_a_figure_that_the_statistics_do_not_have_is_found(project: Path, template: str, expected: list[str]) -> None:
    file = project / "export.dig"
    file.write_text(f'{GOOD}\n+report:\n  echo>: "{template}"\n')
    assert expected == [finding.message for finding in findings(file)]
