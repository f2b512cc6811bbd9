"""The settings of a task are read by the operator's own parser, as far as they are known before a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.lint.samples import GOOD, found_in

_SETTINGS = GOOD[GOOD.index("  result_settings:") : GOOD.index("  _env:")]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("", [(13, "setting")]),
        ("  result_settings: ${activation.settings}\n", []),
        ("  result_settings: type=pinterest\n", [(15, "setting")]),
        (
            '  result_settings: \'{"type": "pinterest", "ad_account_id": "1", "audience_type": "customer_list", '
            '"action": "add_people_to_current_audience", "audience_id": "2"}\'\n',
            [],
        ),
        ('  result_settings: \'{"type": "pinterest", "acton": "add"}\'\n', [(15, "setting"), (15, "unknown-setting")]),
    ],
)
def test_settings_may_be_one_text(project: Path, settings: str, expected: list[tuple[int, str]]) -> None:
    assert expected == sorted(set(found_in(project, GOOD.replace(_SETTINGS, settings))))


@pytest.mark.parametrize(
    ("exported", "expected"),
    [
        ("ids: {account: '549755885175'}", []),
        ("ids: {account: account}", [(18, "setting")]),
        ("ids: {account: {one: '549755885175'}}", []),  # a mapping fills no template: only the run can say
        ("ids: {account: ['549755885175']}", []),
    ],
)
def test_a_template_is_filled_with_what_is_exported(
    project: Path, exported: str, expected: list[tuple[int, str]]
) -> None:
    text = GOOD.replace("_export:\n", f"_export:\n  {exported}\n").replace('"549755885175"', "${ids.account}")
    assert expected == found_in(project, text)


def test_values_that_only_a_run_knows_are_left_alone(project: Path) -> None:
    text = GOOD.replace('"2542620905475"', "${td.each.audience_id}").replace(
        "add_people_to_current_audience", "${what}"
    )
    assert [] == found_in(project, text)
    assert [] == found_in(project, GOOD.replace('"549755885175"', "${account || '1'}"))
