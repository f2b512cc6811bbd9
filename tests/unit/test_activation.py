"""What an activation exports: the console's settings over the workflow's, the audience named after the segment."""

import json
from pathlib import Path
from typing import Any

import pytest

from td_pinterest_op.activation import add_activation_settings
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.task_runtime.task import Task

OWN = {"type": "pinterest", "ad_account_id": "1", "audience_type": "customer_list"}
HANDED = {"activation_id": 1, "segment_name": "Likely buyers", "activation_actions_db": "cdp_audience_1"}
ADD = "add_people_to_current_audience"
REPLACE = "replace_current_audience"
CREATE = "create_new_audience"
MIRROR = "mirror_current_audience"
REMOVE = "remove_people_from_current_audience"


def extend_settings(**params: Any) -> dict[str, Any]:
    """The task's parameters, with what the console says."""
    if isinstance(console := params.pop("console", None), dict):
        console = json.dumps(console)
    task = {**HANDED, "result_settings": OWN, "result_connection_settings": console, **params}
    return dict(add_activation_settings(Task(params=task, environ={})).params)


def settings(*, later: str | None = "add", **params: Any) -> dict[str, Any]:
    """The settings of the request, without those of the workflow."""
    whole = extend_settings(**({} if later is None else {"later_runs": later}), **params)["result_settings"]
    return {name: value for name, value in whole.items() if name not in OWN}


@pytest.mark.parametrize("dump", [dict, json.dumps], ids=["mapping", "text"])
@pytest.mark.parametrize(
    ("later", "console", "expected"),
    [
        ("add", None, {"action": CREATE, "audience_name": "Likely buyers", "if_exists": "add"}),
        (" Replace", "", {"action": CREATE, "audience_name": "Likely buyers", "if_exists": "replace"}),
        ("MIRROR", {}, {"action": MIRROR, "audience_name": "Likely buyers"}),
        ("mirror", {"action": "Mirror current audience", "audience_id": "7"}, {"action": MIRROR, "audience_id": "7"}),
        (
            "add",
            {"audience_name": "VIP", "td_x": 1, "_v": 3, "dry_run": ""},
            {"action": CREATE, "audience_name": "VIP", "if_exists": "add"},
        ),
        ("add", {"audience_id_add_people": "7"}, {"action": ADD, "audience_id_add_people": "7"}),
        ("replace", {"audience_id": "7"}, {"action": REPLACE, "audience_id": "7"}),
        ("add", {"action": "ADD PEOPLE to current-audience", "audience_id": "7"}, {"action": ADD, "audience_id": "7"}),
        (
            "replace",
            {"action": "create new audience", "audience_name": "VIP", "if_exists": " Replace "},
            {"action": CREATE, "audience_name": "VIP", "if_exists": "replace"},
        ),
        (None, None, {"action": CREATE, "audience_name": "Likely buyers", "if_exists": "add"}),
        (None, {"action": REMOVE, "audience_id": "7"}, {"action": REMOVE, "audience_id": "7"}),
        (None, {"action": CREATE}, {"action": CREATE, "audience_name": "Likely buyers", "if_exists": "add"}),
        (
            None,
            {"action": CREATE, "if_exists": "fail"},
            {"action": CREATE, "audience_name": "Likely buyers", "if_exists": "fail"},
        ),
        ("add", {"action": "nonsense"}, {"action": "nonsense"}),
    ],
)
def test_the_action_is_that_of_later_runs_and_a_nameless_audience_is_named_after_the_segment(
    later: str | None, console: object, expected: dict[str, Any], dump: Any
) -> None:
    assert settings(later=later, console=console, result_settings=dump(OWN)) == expected


@pytest.mark.parametrize(
    ("later", "params", "key"),
    [
        ("add", {"console": {"action": REPLACE, "audience_id": "7"}}, "action"),
        ("add", {"result_settings": OWN | {"action": REPLACE, "audience_id": "7"}}, "action"),
        ("replace", {"console": {"action": ADD, "audience_id": "7"}}, "action"),
        ("mirror", {"console": {"action": CREATE, "audience_name": "VIP"}}, "action"),
        ("add", {"console": {"if_exists": "replace"}}, "if_exists"),
        ("replace", {"result_settings": OWN | {"action": CREATE, "if_exists": "fail"}}, "if_exists"),
        ("mirror", {"console": {"if_exists": "add"}}, "if_exists"),
    ],
)
def test_setting_that_contradicts_later_runs_is_an_error(later: str, params: dict[str, Any], key: str) -> None:
    with pytest.raises(SettingsError, match=f"^later_runs: {later} contradicts {key} in the settings"):
        settings(later=later, **params)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"later": "append"}, "later_runs must be one of add, replace, mirror"),
        ({"later": ""}, "later_runs must be one of"),
        ({"console": {"client_secret": "x"}}, "the console has client_secret: credentials may stand in the task only"),
        ({"segment_name": " "}, "the audience has no name"),
        ({"console": "[1]"}, "the console: must be a mapping, not a string of 3 characters"),
        ({"console": "{"}, "the console: a string of 1 character is neither valid JSON nor valid YAML"),
        ({"result_settings": "["}, "result_settings: a string of 1 character is neither"),
    ],
)
def test_invalid_activation_is_an_error_that_names_the_problem(params: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        settings(**params)


def test_a_setting_of_the_console_is_used_and_a_blank_one_lifts_nothing(caplog: pytest.LogCaptureFixture) -> None:
    own = OWN | {"dry_run": True, "max_records": 9}
    given = settings(console={"max_records": "5", "dry_run": "", "control": " "}, result_settings=own)
    assert (given["max_records"], given["dry_run"], "control" in given) == ("5", True, False)
    assert "the console overrides the task's max_records" in caplog.text


@pytest.mark.parametrize(
    ("query", "table", "expected"),
    [
        ("SELECT email FROM people", "t", None),
        ("SELECT email FROM cdp_audience_1.t", "", None),
        (
            "SELECT email FROM activation_actions_table;\n",
            "t",
            "WITH activation_actions_table AS (SELECT * FROM cdp_audience_1.t)\nSELECT * FROM (\n"
            "SELECT email FROM activation_actions_table\n) AS people",
        ),
        ("SELECT email FROM activation_actions_table", "other_db.t", "(SELECT * FROM other_db.t)"),
        ("SELECT email FROM ACTIVATION_ACTIONS_TABLE", "t", "AS (SELECT * FROM cdp_audience_1.t)\nSELECT * FROM ("),
        (
            "-- set session a='b'\nSELECT email FROM activation_actions_table",
            "t",
            "-- set session a='b'\nWITH activation_actions_table AS (",
        ),
        ("SELECT 'a; -- b' FROM activation_actions_table; -- c\n/* d; */\n", "t", "_table\n) AS people"),
    ],
)
def test_query_may_name_the_table_of_the_activation(query: str, table: str, expected: str | None) -> None:
    assert (expected or query) in extend_settings(query=query, activation_actions_table=table)["query"]


def test_the_query_may_be_a_file_of_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.sql").write_text("-- people\nSELECT email FROM activation_actions_table -- all\n")
    assert "-- all\n) AS people" in extend_settings(query="a.sql", activation_actions_table="t")["query"]


@pytest.mark.parametrize("table", [None, "", "a.b.c", "t; DROP TABLE x", "t -- ", '"t"', "a..b", "ü"])
def test_invalid_table_name_is_an_error(table: str | None) -> None:
    with pytest.raises(SettingsError, match="the activation's table is missing, or is not a valid table name"):
        extend_settings(query="SELECT email FROM activation_actions_table", activation_actions_table=table)
