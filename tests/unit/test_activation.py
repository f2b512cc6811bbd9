"""What an activation exports: the console's settings over the workflow's, the audience named after the segment."""

from __future__ import annotations

import json
from typing import Any

import pytest

from td_pinterest_op.activation import activated
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.workflow.task import Task

OWN = {"type": "pinterest", "ad_account_id": "1", "audience_type": "customer_list"}


def settings(*, later: str = "add", console: object = None, **params: Any) -> dict[str, Any]:
    task = {"activation_id": 1, "segment_name": "Likely buyers", "later_runs": later, "result_settings": OWN} | params
    if console is not None:
        task["result_connection_settings"] = console
    settings: dict[str, Any] = activated(Task(params=task, environ={})).params["result_settings"]
    return {name: value for name, value in settings.items() if name not in OWN}


@pytest.mark.parametrize(
    ("later", "console", "expected"),
    [
        ("add", None, {"action": "create_new_audience", "audience_name": "Likely buyers", "if_exists": "add"}),
        ("Replace", "", {"action": "create_new_audience", "audience_name": "Likely buyers", "if_exists": "replace"}),
        ("mirror", {}, {"action": "create_new_audience", "audience_name": "Likely buyers", "if_exists": "add"}),
        (
            "add",
            {"audience_name": "VIP", "td_x": 1},
            {"action": "create_new_audience", "audience_name": "VIP", "if_exists": "add", "td_x": 1},
        ),
        ("add", {"audience_id": "7"}, {"action": "add_people_to_current_audience", "audience_id": "7"}),
        ("replace", {"audience_id": "7"}, {"action": "replace_current_audience", "audience_id": "7"}),
        (
            "replace",
            {"action": "REMOVE_PEOPLE_FROM_CURRENT_AUDIENCE", "audience_id_remove_people": "7", "audience_name": None},
            {"action": "REMOVE_PEOPLE_FROM_CURRENT_AUDIENCE", "audience_id_remove_people": "7"},
        ),
    ],
)
def test_settings_of_the_console_win_and_a_nameless_audience_is_named_after_the_segment(
    later: str, console: object, expected: dict[str, Any]
) -> None:
    given = json.dumps(console) if isinstance(console, dict) else console
    assert expected == settings(later=later, console=given)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"later": "append"}, "later_runs must be one of add, replace, mirror"),
        ({"segment_name": " "}, "the audience has no name"),
        ({"console": "[1]"}, "result_connection_settings must be a mapping"),
        ({"console": "{"}, "result_connection_settings cannot be read"),
    ],
)
def test_what_is_wrong_is_named(params: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        settings(**params)
