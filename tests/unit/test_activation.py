"""What an activation exports: the workflow's settings, what a console may add, the audience named after the segment."""

import json
from typing import Any

import pytest

from td_pinterest_op.activation import build_activation_export_task
from td_pinterest_op.audiences.actions import EXPORT_SETTINGS
from td_pinterest_op.audiences.request import parse_task_request
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.task_runtime.task import Task
from tests.unit.settings.test_parse import ENVIRON

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
    return dict(build_activation_export_task(Task(params=task, environ={})).params)


def settings(*, later: str | None = "add", **params: Any) -> dict[str, Any]:
    """The settings of the request, without those of the workflow."""
    whole = extend_settings(**({} if later is None else {"later_runs": later}), **params)["result_settings"]
    return {name: value for name, value in whole.items() if name not in OWN}


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
            {"action": "create new audience", "audience_name": "VIP"},
            {"action": CREATE, "audience_name": "VIP", "if_exists": "replace"},
        ),
        (None, None, {"action": CREATE, "audience_name": "Likely buyers", "if_exists": "add"}),
        (None, {"action": REMOVE, "audience_id": "7"}, {"action": REMOVE, "audience_id": "7"}),
        (None, {"action": CREATE}, {"action": CREATE, "audience_name": "Likely buyers", "if_exists": "add"}),
        ("add", {"action": "nonsense"}, {"action": "nonsense"}),
    ],
)
def test_activation_has_the_action_of_later_runs_and_the_name_of_the_segment(
    later: str | None, console: object, expected: dict[str, Any]
) -> None:
    assert settings(later=later, console=console) == expected


def test_task_may_say_itself_what_a_create_does_with_an_audience_that_exists() -> None:
    own = OWN | {"action": CREATE, "if_exists": "fail"}
    expected = {"action": CREATE, "audience_name": "Likely buyers", "if_exists": "fail"}
    assert settings(later=None, result_settings=own) == expected


@pytest.mark.parametrize(
    ("later", "params", "key"),
    [
        ("add", {"console": {"action": REPLACE, "audience_id": "7"}}, "action"),
        ("add", {"result_settings": OWN | {"action": REPLACE, "audience_id": "7"}}, "action"),
        ("replace", {"console": {"action": ADD, "audience_id": "7"}}, "action"),
        ("mirror", {"console": {"action": CREATE, "audience_name": "VIP"}}, "action"),
        ("add", {"result_settings": OWN | {"if_exists": "replace"}}, "if_exists"),
        ("replace", {"result_settings": OWN | {"action": CREATE, "if_exists": "fail"}}, "if_exists"),
        ("mirror", {"result_settings": OWN | {"if_exists": "add"}}, "if_exists"),
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
        (
            {"result_settings": OWN | {"action": ADD}, "later": None, "console": {"action": REMOVE}},
            "the action in the console contradicts that of the task",
        ),
        ({"segment_name": " "}, "the audience has no name"),
        ({"console": "[1]"}, "the console: must be a mapping, not a string of 3 characters"),
        ({"console": "{"}, "the console: a string of 1 character is neither valid JSON nor valid YAML"),
        ({"result_settings": json.dumps(OWN)}, "which only td_pinterest_op.activation.PinterestActivation takes"),
    ],
)
def test_invalid_activation_is_an_error_that_names_the_problem(params: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        settings(**params)


# Of section "Who may choose what" in docs/settings.md: everything that a console may choose, and a value of it.
CHOSEN: dict[str, Any] = {
    "type": "pinterest",
    "ad_account_id": "549",
    "audience_type": "customer_list",
    "action": ADD,
    "audience_id": "7",
    "audience_id_add_people": "7",
    "audience_id_remove_people": "7",
    "audience_id_replace": "7",
    "audience_id_delete": "7",
    "audience_id_clear": "7",
    "audience_name": "VIP",
    "audience_description": "of the console",
    "limit_records_per_request": "500",
    "ignore_invalid_records": "true",
    "ignore_error": "true",
    "retry_count": "3",
    "retry_initial_wait_millis": "100",
    "max_retry_wait_millis": "1000",
    "connection_timeout_secs": "9",
    "write_timeout_secs": "9",
    "read_timeout_secs": "9",
}
# A value that a task may have in place of a console's.
OTHERS = {
    "audience_name": "Mine",
    "audience_description": "mine",
    "ignore_invalid_records": False,
    "action": ADD,
    "if_exists": "add",
}


@pytest.mark.parametrize("name", EXPORT_SETTINGS.by_name)
def test_console_chooses_what_the_task_leaves_to_it_and_nothing_of_the_authors(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    console = {name: CHOSEN.get(name, "x")}
    own = OTHERS.get(name, "1")
    bare: dict[str, Any] = {each: value for each, value in OWN.items() if each != name}
    for of_task in (bare, bare | {name: own}):
        blank = extend_settings(console={name: " "}, result_settings=of_task)["result_settings"]
        assert blank == extend_settings(console={}, result_settings=of_task)["result_settings"]
    if name not in CHOSEN:
        with pytest.raises(SettingsError, match=rf"the console has {name}, which only the workflow's author may"):
            extend_settings(console=console)
        return
    assert extend_settings(console=console, result_settings=bare)["result_settings"][name] == CHOSEN[name]
    assert extend_settings(console=console, result_settings=bare | {name: own})["result_settings"][name] == own
    assert (f"so the console's are ignored: {name}" in caplog.text) == (own != CHOSEN[name])


@pytest.mark.parametrize(
    ("own", "console"),
    [
        ({"audience_name": "Mine"}, {"audience_id": "7"}),
        ({"audience_id": "8"}, {"audience_id_add_people": "7", "audience_name": "VIP"}),
        ({"ignore_invalid_records": False}, {"ignore_error": True}),
    ],
)
def test_task_that_chooses_the_audience_or_a_rule_by_another_name_keeps_it(
    own: dict[str, Any], console: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    assert settings(console=console, result_settings=OWN | own) == settings(result_settings=OWN | own)
    assert f"the console's are ignored: {', '.join(console)}" in caplog.text


@pytest.mark.parametrize("key", ["td_user", "_internal", "resultType", "connection_type", "TD_x"])
def test_key_that_the_console_adds_by_itself_is_ignored_with_a_warning(
    key: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert settings(console={key: "x"}) == settings()
    assert f"the console has keys that this operator does not know, which are ignored: {key}" in caplog.text


@pytest.mark.parametrize("key", ["acount_id", "tdx", "types", "_jane@example.com", "query", "suppres"])
def test_unknown_key_of_the_console_reaches_the_settings_parser(key: str) -> None:
    assert settings(console={key: "x"})[key] == "x"


@pytest.mark.parametrize("name", EXPORT_SETTINGS.by_name)
def test_console_setting_that_names_a_secret_is_an_error(name: str) -> None:
    bare = {each: value for each, value in OWN.items() if each != name}
    params = HANDED | {
        "query": "SELECT email FROM people",
        "database": "crm",
        "result_settings": bare,
        "result_connection_settings": json.dumps({name: "${secret:any.variable}"}),
    }
    with pytest.raises(SettingsError, match=rf"{name}.* which only the workflow's author|{name}: .*secret|action: "):
        parse_task_request(
            build_activation_export_task(Task(params=params, environ={**ENVIRON, "ANY_VARIABLE": "hers"})),
            table=EXPORT_SETTINGS,
        )


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


@pytest.mark.parametrize("table", [None, "", "a.b.c", "t; DROP TABLE x", "t -- ", '"t"', "a..b", "ü"])
def test_invalid_table_name_is_an_error(table: str | None) -> None:
    with pytest.raises(SettingsError, match="the activation's table is missing, or is not a valid table name"):
        extend_settings(query="SELECT email FROM activation_actions_table", activation_actions_table=table)
