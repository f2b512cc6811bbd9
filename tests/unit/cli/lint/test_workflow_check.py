"""`check` says what a run's readers say, at the line where it is written, and of a right project nothing."""

from pathlib import Path

import pytest

from td_pinterest_op.cli.lint.operator_task import SETTINGS_TABLE_BY_CLASS
from td_pinterest_op.cli.lint.workflow_check import check_workflow
from tests.unit.cli.lint.samples import OWN, expected_problems, find_problems, read_workflows, write_project

_ENV_LINES = "  _env:\n    !include : config/environment.yml\n"
# Workflows by name. A comment `# finds …` in one announces a finding at its line; there are no others.
WRONG = read_workflows("wrong_workflows.txt")
RIGHT = read_workflows("right_workflows.txt")


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_found_at_its_line_and_nothing_else(tmp_path: Path, name: str) -> None:
    text = WRONG[name]
    expected = expected_problems("export.dig", text)
    found = find_problems(tmp_path, text)
    assert len(found) == len(expected), found
    unmatched = [each for each in expected if not any(problem.startswith(each) for problem in found)]
    assert unmatched == [], found


def test_problem_of_an_included_file_is_found_at_its_line_there(tmp_path: Path) -> None:
    included = "type: pinterest\naudience_type: customer_list\naction: clear_current_audience\naudience_id: x\n"
    task = "+a:\n  py>: td_pinterest_op.export.PinterestExport\n  result_settings:\n    !include : config/wrong.yml\n"
    found = find_problems(tmp_path, task + _ENV_LINES, {"config/wrong.yml": included})
    assert [each.partition(": ")[::2] for each in found] == [
        (
            "config/wrong.yml:4",
            "value: audience_id: must be an id (only digits, at most 40), not a string of 1 character; allowed: "
            "digits, best in quotes",
        ),
        ("export.dig:3", "missing: ad_account_id: missing; allowed: digits, at most 18, best in quotes"),
    ]


_RIGHT_FILES = {
    "config/entry.yml": "name: first\nad_account_id: '1'\naction: clear_current_audience\naudience_id: '5'\n",
    "config/entry_settings.yml": "ad_account_id: '1'\naction: delete_current_audience\naudience_id: '6'\n",
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_project_has_no_finding(tmp_path: Path, name: str) -> None:
    assert find_problems(tmp_path, RIGHT[name], _RIGHT_FILES) == []


def test_file_with_a_byte_order_mark_and_carriage_returns_has_no_finding(tmp_path: Path) -> None:
    assert find_problems(tmp_path, "\ufeff" + OWN.replace("\n", "\r\n")) == []


def test_values_that_only_a_run_knows_are_counted(tmp_path: Path) -> None:
    text = OWN.replace('"2542620905475"', "${id}").replace("queries/people.sql", "SELECT ${column} FROM ${table}")
    assert check_workflow(write_project(tmp_path, text)).unknown_count == 2


@pytest.mark.parametrize("class_name", SETTINGS_TABLE_BY_CLASS)
def test_class_that_check_knows_exists(class_name: str) -> None:
    module, _, name = class_name.rpartition(".")
    assert callable(getattr(__import__(module, fromlist=[name]), name).run)
