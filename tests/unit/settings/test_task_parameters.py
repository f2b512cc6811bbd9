"""Misspelt names of task parameters, and names that only resemble them."""

import pytest

from td_pinterest_op.settings.parse import TASK_PARAMETERS, find_misspelt_parameters

# What digdag gives to every task, and what workflows name their own variables.
OTHERS = (
    *("session_id", "session_uuid", "session_time", "project_id", "attempt_id", "task_name", "timezone", "td", "py"),
    *("result_settings", "result_connection_settings", "activation_id", "segment_name", "later_runs", "concurrent"),
    *("td_database", "my_query", "suppress_job", "queries", "audiences", "last_job_id", "job", "jobs", "list", "_env"),
    *("suppress_table", "suppress_query", "suppress_", "query_", "td_job_id", "job_id_1", "express"),
    *("content", "contents", "context", "constant", "dataset", "queue", "expression", "impression", "compression"),
)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("supress", "suppress"),
        ("suppres", "suppress"),
        ("suppressed", "suppress"),
        ("supression", "suppress"),
        ("suppresion", "suppress"),
        ("Supressions", "suppress"),
        ("surpressed", "suppress"),
        ("supressing", "suppress"),
        ("SUPPRESS", "suppress"),
        ("consents", "consent"),
        ("Consent", "consent"),
        ("concent", "consent"),
        ("querry", "query"),
        ("databse", "database"),
        ("enigne", "engine"),
        ("job_ids", "job_id"),
    ],
)
def test_a_misspelt_parameter_is_reported_with_the_one_that_is_meant(name: str, meant: str) -> None:
    assert {name: meant} == find_misspelt_parameters([name, *OTHERS])
    assert {} == find_misspelt_parameters([name, meant])


def test_other_variables_of_a_workflow_are_not_reported_as_misspelt() -> None:
    assert {} == find_misspelt_parameters([*OTHERS, *TASK_PARAMETERS])
    assert {} == find_misspelt_parameters([*OTHERS, "x" * 10_000, 7, None])
