"""Names of a task's parameters and variables that seem to mean a parameter, and names that only resemble one."""

import pytest

from td_pinterest_op.audiences.actions import Add, Clear, Remove
from td_pinterest_op.audiences.request import find_refused_parameters
from td_pinterest_op.settings.table import TASK_PARAMETERS

# What digdag gives to every task, and what workflows name their own variables.
OTHERS = (
    *("session_id", "session_uuid", "session_time", "project_id", "attempt_id", "task_name", "timezone", "td", "py"),
    *("result_settings", "result_connection_settings", "activation_id", "segment_name", "later_runs", "at_once"),
    *("td_database", "my_query", "queries", "audiences", "last_job_id", "job", "jobs", "list", "_env", "query_"),
    *("databases", "databse", "job_ids", "enigne", "td_job_id", "job_id_1", "express", "output", "option"),
    *("content", "contents", "context", "constant", "dataset", "queue", "expression", "impression", "compression"),
)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("supress", "suppress"),
        ("suppressed", "suppress"),
        ("Supressions", "suppress"),
        ("surpressed", "suppress"),
        ("suppress_list", "suppress"),
        ("our_supress", "suppress"),
        ("opt_outs", "suppress"),
        ("consents", "consent"),
        ("concent", "consent"),
        ("querry", "query"),
        ("Query", "query"),
    ],
)
def test_name_near_a_parameter_is_reported_with_the_one_that_is_meant(name: str, meant: str) -> None:
    assert find_refused_parameters([name, *OTHERS], Add.action) == {name: meant}
    assert find_refused_parameters([name, *OTHERS], None) == {name: meant}
    assert find_refused_parameters([name, meant], Add.action) == {}


@pytest.mark.parametrize("action", [Add.action, None])
def test_other_variables_of_a_workflow_are_not_reported(action: None) -> None:
    assert find_refused_parameters([*OTHERS, *TASK_PARAMETERS], action) == {}
    assert find_refused_parameters([*OTHERS, "x" * 10_000, 7, None], action) == {}


def test_name_near_a_parameter_that_the_action_does_not_read_is_not_reported() -> None:
    assert find_refused_parameters(["supress", "opt_outs", "querry"], Remove.action) == {"querry": "query"}
    assert find_refused_parameters(["supress", "querry"], Clear.action) == {}
