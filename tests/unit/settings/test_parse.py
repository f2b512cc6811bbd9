"""`result_settings` → `ExportSettings`, or one error that names every problem."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest

from td_pinterest_op.audiences.actions import ACTIONS, EXPORT_SETTINGS, Add, Remove, parse_export_settings
from td_pinterest_op.errors import SettingsError
from td_pinterest_op.redaction.secret import Secret
from td_pinterest_op.settings.structures import ControlGroup
from td_pinterest_op.settings.table import ActionSpec, ExportSettings
from td_pinterest_op.settings.types import TableName
from tests.exporting import NEEDED

ENVIRON = {
    "PINTEREST_CLIENT_ID": "1489",
    "PINTEREST_CLIENT_SECRET": "env-client-credential",
    "PINTEREST_REFRESH_TOKEN": "pinr.env-token",
}
LEAST = {
    "type": "pinterest",
    "ad_account_id": "549755885175",
    "audience_type": "customer_list",
    "action": "add_people_to_current_audience",
    "audience_id_add_people": "2542620905475",
}
NEW = {**LEAST, "action": "create_new_audience", "audience_id_add_people": "", "audience_name": "Spring buyers"}
MIRROR = {**LEAST, "action": "mirror_current_audience", "audience_id_add_people": "", "audience_id": "7"}
NEEDED_BY_OTHERS = {name: value for name, value in NEEDED.items() if name not in NEW}


def read(raw: object, environ: Mapping[str, str] = ENVIRON) -> ExportSettings:
    return parse_export_settings(raw, environ=environ)


def message_of(raw: object, environ: Mapping[str, str] = ENVIRON) -> str:
    with pytest.raises(SettingsError) as caught:
        parse_export_settings(raw, environ=environ)
    assert caught.value.__cause__ is None
    return str(caught.value)


def problems_of(raw: object, environ: Mapping[str, str] = ENVIRON) -> list[str]:
    """The names that a message complains of, in its order."""
    first, *lines = message_of(raw, environ).splitlines()
    assert first == f"result_settings has {len(lines)} problem{'' if len(lines) == 1 else 's'}:"
    return [line.removeprefix("- ").split(":")[0] for line in lines]


def test_the_least_settings_get_every_default() -> None:
    settings = read(LEAST)
    left_out = [key for key in EXPORT_SETTINGS.settings if key.name not in LEAST and key.name != "audience_id"]
    defaults = {key.name: key.default for key in left_out if hasattr(settings, key.name) and not key.is_credential}
    assert defaults == {name: getattr(settings, name) for name in defaults}
    assert (
        settings.ad_account_id,
        settings.action,
        settings.audience_id,
    ) == ("549755885175", Add.action, "2542620905475")
    assert (settings.refresh_token_secret, settings.warnings) == ("pinterest.refresh_token", ())


@pytest.mark.parametrize(
    "raw",
    [
        LEAST,
        json.dumps(LEAST),
        "\n".join(f"{key}: {value}" for key, value in LEAST.items()),
        "\n".join(f"{key}: '{value}'" for key, value in LEAST.items()),
        "{" + ", ".join(f"{key}: {value}" for key, value in LEAST.items()) + "}",
        {**LEAST, "ad_account_id": 549755885175, "audience_id_add_people": 2542620905475.0},
        {**LEAST, "audience_name": None, "ignore_error": "", "columns": "  "},
        "\n".join(f"{key}: {value}" for key, value in {**LEAST, "audience_name": "null", "history": "~"}.items()),
        {key: f" {value} " for key, value in LEAST.items()},
    ],
    ids=["mapping", "JSON", "YAML", "YAML quoted", "YAML flow", "ids as numbers", "blanks", "YAML null", "padded"],
)
def test_settings_in_every_form_give_the_same_result(raw: object) -> None:
    assert read(LEAST) == read(raw)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("limit_records_per_request", "1900", 1900),
        ("ignore_invalid_records", "true", True),
        ("ignore_invalid_records", True, True),
        ("dry_run", " True ", True),
        ("max_invalid_ratio", "1e-7", 1e-7),
        ("audience_id", "2" * 40, "2" * 40),
        ("expected_audience_name", " Shoppers ", "Shoppers"),
        ("columns", {"Mail": "EMAIL", "device": "maid"}, {"mail": "email", "device": "maid"}),
        ("columns", "Mail: email", {"mail": "email"}),
        ("expect_values", "PLAIN", "plain"),
        ("default_country", " de", "DE"),
        ("ledger", "crm.ledger", TableName("crm", "ledger")),
        ("max_retry_wait_millis", "499", 499),  # the default of the first wait gives way
        ("client_id", 1489021, Secret("1489021")),
    ],
)
def test_a_value_may_come_as_text_or_as_its_own_type(key: str, value: object, expected: object) -> None:
    of_mirror = {"ledger", "begin", "max_leave_ratio", "resend_days"}
    given = MIRROR if key in of_mirror else LEAST | ({"audience_id_add_people": ""} if key == "audience_id" else {})
    settings = read({**given, key: value})
    assert getattr(settings, key) == expected
    assert type(expected) is type(getattr(settings, key)) or key == "columns"


def test_only_an_action_on_an_existing_audience_has_a_setting_for_its_id() -> None:
    """Without one it would act on no audience, whatever `audience_id` is."""
    of_old_audience = [each for each in ACTIONS if "old audience" in each.action.scopes]
    assert [each for each in ACTIONS if each.action.audience_id] == of_old_audience


@pytest.mark.parametrize("spelling", ["{}", "  {} "])
@pytest.mark.parametrize("action", [each.action for each in ACTIONS])
@pytest.mark.parametrize(
    "change", [str, str.upper, str.title, lambda word: word.replace("_", " "), lambda word: word.replace("_", "-")]
)
def test_an_action_is_recognised_in_every_spelling(action: ActionSpec, change: Any, spelling: str) -> None:
    raw = {**NEW, **NEEDED_BY_OTHERS, "audience_id": "7", "action": spelling.format(change(action.name))}
    assert action is read(raw).action


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"action": "Remove People to Current Audience", "audience_id": "7"}, ("action", Remove.action)),
        ({"type": "PINTEREST", "audience_type": "Customer List"}, ("action", Add.action)),
        ({"ignore_error": "true"}, ("ignore_invalid_records", True)),
        ({"audience_id_add_people": "7", "audience_id": 7}, ("audience_id", "7")),
    ],
)
def test_an_alias_means_the_same(changes: dict[str, object], expected: tuple[str, object]) -> None:
    name, value = expected
    assert value == getattr(read({**LEAST, **changes}), name)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("type", "facebook"),
        ("action", "upsert"),
        ("ad_account_id", "54975588517x"),
        ("ad_account_id", "1234567890123456789"),
        ("audience_id", {"id": 1}),
        ("audience_name", "two\nlines"),
        ("audience_name", "\ud800"),
        ("audience_name", 2024),
        pytest.param("limit_records_per_request", "1" * 6000, id="huge text"),
        ("limit_records_per_request", float("inf")),
        ("ignore_invalid_records", "yes"),
        ("max_invalid_ratio", "50%"),
        ("columns", ["email"]),
        ("columns", {"mail": "address"}),
        ("columns", {"mail": "email", "MAIL": "email"}),
        ("columns", {"": "email"}),
        ("country", "DE"),
        ("default_country", "Germany"),
        ("client_secret", [12345]),
        ("client_secret", "x" * 5_000_000),
        ("refresh_token", "töken"),
    ],
)
def test_a_wrong_value_is_one_problem_that_names_what_is_allowed(key: str, value: object) -> None:
    assert [key] == problems_of({**LEAST, key: value})
    assert "allowed: " in message_of({**LEAST, key: value})


@pytest.mark.parametrize(
    ("value", "line"),
    [
        (101, "- retry_count: 101 is not an allowed value; allowed: a whole number from 0 to 100"),
        ([7], "- retry_count: a value of type list is not an allowed value; allowed: a whole number from 0 to 100"),
    ],
)
def test_a_problem_shows_the_value_and_the_range(value: object, line: str) -> None:
    assert message_of({**LEAST, "retry_count": value}) == f"result_settings has 1 problem:\n{line}"


@pytest.mark.parametrize(
    "value",
    [
        "jane@example.com",
        "d41d8cd98f00b204e9800998ecf8427e",
        "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709",
        "38400000-8cf0-11bd-b23e-10b96e40000d",
        "my-secret",
        "pinr.abc",
        "abcdefghij0123456789",
        "env-client-credential",
        "x" * 41,
    ],
)
@pytest.mark.parametrize("key", ["action", "retry_count", "dry_run", "max_invalid_ratio", "ad_account_id", "columns"])
def test_a_value_that_may_be_a_person_or_a_credential_is_not_shown(key: str, value: str) -> None:
    assert value not in message_of({**LEAST, key: {"mail": value} if key == "columns" else value})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ad_account_id": None, "audience_type": "  "}, ["ad_account_id", "audience_type"]),
        ({"audience_id_add_people": ""}, ["audience_id_add_people"]),
        ({"action": "remove_people_from_current_audience"}, ["audience_id_remove_people"]),
        ({"action": "create_actalike_audience"}, ["audience_name", "seed_audience_id", "country", "percentage"]),
        ({"action": "mirror_current_audience", "records": "rows"}, ["audience_id", "records"]),
        ({"action": "nonsense", "audience_id_add_people": ""}, ["action"]),
        (
            {"action": "nonsense", "type": "", "ad_account_id": "", "audience_type": ""},
            ["action", "type", "ad_account_id", "audience_type"],
        ),
    ],
)
def test_every_missing_setting_is_named_even_if_the_action_is_wrong(
    changes: dict[str, object], expected: list[str]
) -> None:
    assert problems_of({**LEAST, **changes}) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"audience_id": "8"}, "audience_id_add_people: conflicts with audience_id"),
        ({"ignore_error": "true", "ignore_invalid_records": "false"}, "ignore_invalid_records: conflicts with ignore_"),
    ],
)
def test_settings_in_conflict_are_one_problem(changes: dict[str, object], expected: str) -> None:
    assert len(problems_of({**LEAST, **changes})) == 1
    assert expected in message_of({**LEAST, **changes})


def test_a_look_alike_refuses_a_limit_on_leavers_without_naming_a_way_that_it_lacks() -> None:
    raw = {**NEW, **NEEDED_BY_OTHERS, "action": "create_actalike_audience", "max_leave_ratio": "0.3"}
    assert problems_of(raw) == ["max_leave_ratio"]


@pytest.mark.parametrize(
    ("key", "suggestion"),
    [
        ("acount_id", "ad_account_id"),
        ("Client_ID", "client_id"),
    ],
)
def test_an_unknown_key_gets_a_suggestion(key: str, suggestion: str) -> None:
    lines = f"- {key}: is unknown; did you mean {suggestion}?"
    assert message_of({**LEAST, key: "1"}) == f"result_settings has 1 problem:\n{lines}"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("a\nb", "- a\\nb: is unknown"),
        ("jane@example.com", "- a string of 16 characters: is unknown"),
        (7, "- 7: is unknown"),
        ("td_user", "- td_user: is unknown"),
        ("_internal", "- _internal: is unknown"),
        ("query", "- query: is not a key of result_settings, but a parameter of the task"),
    ],
)
def test_an_unknown_key_that_resembles_no_setting_gets_no_suggestion(key: object, expected: str) -> None:
    raw: dict[object, object] = dict(LEAST.items())
    raw[key] = "1"
    assert message_of(raw) == f"result_settings has 1 problem:\n{expected}"


def test_keys_that_the_action_does_not_use_are_named_in_one_warning() -> None:
    settings = read({**LEAST, "audience_name": "n", "audience_description": "", "audience_id_delete": "9"})
    expected = "add_people_to_current_audience does not use these settings: audience_id_delete, audience_name"
    assert ([warning.text for warning in settings.warnings], settings.audience_name) == ([expected], None)


@pytest.mark.parametrize("action", ["create_new_audience", "create_actalike_audience"])
def test_a_new_audience_has_no_id_whatever_the_settings_name(action: str) -> None:
    assert read({**NEW, **NEEDED_BY_OTHERS, "action": action, "audience_id": "7"}).audience_id is None


ADDING = {"add", "create", "replace", "mirror"}
SENDING = {"remove", *ADDING}
EVERY = {each.__name__.lower() for each in ACTIONS}


@pytest.mark.parametrize(
    ("key", "value", "used_by"),
    [
        ("retry_count", 1, EVERY),
        ("dry_run", "true", EVERY),
        ("limit_records_per_request", 5, SENDING),
        ("ignore_invalid_records", "true", SENDING),
        ("max_invalid_ratio", 0.5, SENDING),
        ("columns", {"mail": "email"}, SENDING),
        ("allow_empty_suppress", "true", ADDING),
        ("if_exists", "add", {"create"}),
        ("is_nca", "true", {"create", "replace", "mirror"}),
        ("replace_newer", "true", {"create", "replace", "mirror"}),
        ("ledger", "crm.ledger", {"mirror"}),
        ("expected_audience_name", "Spring buyers", EVERY),
        ("even_if_used", "true", {"delete", "clear"}),
    ],
)
def test_a_setting_that_an_action_does_not_use_has_its_default_and_a_warning(
    key: str, value: object, used_by: set[str]
) -> None:
    raw = {**NEW, **NEEDED_BY_OTHERS, "audience_id": "7", key: value}
    settings = {each.__name__.lower(): read({**raw, "action": each.action.name}) for each in ACTIONS}
    assert used_by == {name for name, each in settings.items() if key not in str(each.warnings)}
    default = getattr(read(LEAST), key)
    assert used_by == {name for name, each in settings.items() if getattr(each, key) != default}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, 100), ({"min_records": "0"}, 0), ({"max_records": 50}, 50), ({"min_records": 7, "max_records": 50}, 7)],
)
def test_a_mirror_needs_100_records_unless_the_settings_give_another_minimum(
    changes: dict[str, object], expected: int
) -> None:
    assert (read(MIRROR | changes).min_records, read(LEAST).min_records) == (expected, None)


@pytest.mark.parametrize("action", ["create_new_audience", "create_actalike_audience"])
def test_a_new_audience_whose_name_is_not_the_expected_one_is_an_error(action: str) -> None:
    raw = {**NEW, **NEEDED_BY_OTHERS, "action": action, "expected_audience_name": "Autumn buyers"}
    assert f"- expected_audience_name: differs from audience_name, which {action} gives" in message_of(raw)


@pytest.mark.parametrize(
    ("given", "warned"),
    [
        (2**53, False),
        (2**53 + 1, True),
        (str(2**53 + 1), False),
        ("549755885175000002", False),
        ("549755885175000000", True),
        ("12345678901234560", True),  # 17 digits, as a template writes a number that has lost one
        ("12345678901234567890", False),  # no template writes it: its double is 12345678901234567000
    ],
)
def test_an_id_that_may_have_lost_digits_gives_a_warning(given: object, warned: bool) -> None:
    warnings = read({**LEAST, "audience_id_add_people": given}).warnings
    assert warned == bool(warnings)
    assert all("the last digits" in each.text and each.key == "audience_id_add_people" for each in warnings)


@pytest.mark.parametrize(
    ("blanks", "named"),
    [
        ({"control": " ", "dry_run": "", "audience_name": ""}, ["dry_run", "control"]),
        ({"max_records": "", "max_invalid_ratio": "\n", "columns": ""}, ["max_invalid_ratio", "max_records"]),
        ({"suppress": "", "consent": None, "history": "", "report": " "}, ["suppress", "consent"]),
    ],
)
def test_blank_setting_is_an_error_if_it_would_restrict_the_export(blanks: dict[str, Any], named: list[str]) -> None:
    assert problems_of({**LEAST, **blanks}) == named
    assert f"{named[0]}: is blank; give it a value, or leave the line out" in message_of({**LEAST, **blanks})


@pytest.mark.parametrize(
    ("given", "environ", "expected"),
    [
        ({}, {}, ("pinr.env-token", "pinterest.refresh_token")),
        ({"refresh_token": ""}, {}, ("pinr.env-token", "pinterest.refresh_token")),
        ({"refresh_token": "${secret:pinterest.refresh_token}"}, {}, ("pinr.env-token", "pinterest.refresh_token")),
        ({"refresh_token": "${secret:my-team.token}"}, {"MY_TEAM_TOKEN": "abc\n"}, ("abc", "my-team.token")),
        ({"refresh_token": "pinr.plain"}, {}, ("pinr.plain", None)),
    ],
)
def test_the_settings_name_the_secret_of_the_refresh_token(
    given: dict[str, str], environ: dict[str, str], expected: tuple[str, str | None]
) -> None:
    settings = read({**LEAST, **given}, {**ENVIRON, **environ})
    assert (settings.refresh_token.reveal(), settings.refresh_token_secret) == expected


def test_a_credential_of_the_environment_is_not_shown_even_if_the_settings_have_another() -> None:
    raw = {**LEAST, "client_secret": "of-the-settings", "retry_count": "of the environment"}
    text = message_of(raw, {**ENVIRON, "PINTEREST_CLIENT_SECRET": "of the environment"})
    assert "retry_count: a string of 18 characters is not an allowed value" in text


@pytest.mark.parametrize("value", [None, "", "  "])
@pytest.mark.parametrize(
    ("given", "secret", "variable"),
    [
        ({}, "pinterest.client_id", "PINTEREST_CLIENT_ID"),
        ({"client_id": "${secret:pinterest.client_id}"}, "pinterest.client_id", "PINTEREST_CLIENT_ID"),
        ({"client_id": "${secret:a.b-c}"}, "a.b-c", "A_B_C"),
    ],
)
def test_an_error_about_a_missing_secret_names_its_variable(
    given: dict[str, str], secret: str, variable: str, value: str | None
) -> None:
    others = {name: text for name, text in ENVIRON.items() if name != variable}
    text = message_of({**LEAST, **given}, others if value is None else {**others, variable: value})
    assert f"set the workflow's secret {secret}, and give it to the task as {variable}, under its _env" in text


@pytest.mark.parametrize(
    "value",
    [
        "${secret:td.api_key}",
        "${secret:td.apikey}",
        "x ${secret:a}",
        "${ secret:a }",
        "${secret:}",
        "${secret:pinr.token}",
        "${secret:a b}",
    ],
)
def test_credential_is_the_whole_reference_to_a_secret_of_the_app(value: str) -> None:
    environ = {**ENVIRON, "A": "a", "TD_API_KEY": "1/key"}
    assert problems_of({**NEW, "client_secret": value}, environ) == ["client_secret"]
    assert "pinr" not in message_of({**NEW, "client_secret": value}, environ)


@pytest.mark.parametrize("form", [str, lambda text: f"a {text} b", lambda text: [text], lambda text: {text: "email"}])
def test_no_other_setting_may_name_a_secret(form: Any) -> None:
    names = [name for name, each in EXPORT_SETTINGS.by_name.items() if not each.is_credential]
    message = message_of(dict.fromkeys(names, form("${secret:pinterest.refresh_token}")))
    assert [name for name in names if f"- {name}: names a secret of the workflow, as only" not in message] == []
    assert ENVIRON["PINTEREST_REFRESH_TOKEN"] not in message


@pytest.mark.parametrize("raw", [None, "", " ", {}, "{}"])
def test_an_error_about_missing_settings_names_each_that_is_needed(raw: object) -> None:
    assert problems_of(raw) == ["type", "ad_account_id", "audience_type", "audience_name"]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("# only a comment", "must be a mapping, not a string of 16 characters"),
        (b"{}", "must be a mapping, not a value of type bytes"),
        ("type:\n\tpinterest: x", "it contains tabs"),
        ("type: [", "neither valid JSON nor valid YAML (line 1, column 8)"),
        ('{"type": "a", "type": "b"}', "contains the same key twice"),
        ("a: &a {b: *a}", "contains a YAML alias"),
        pytest.param("[" * 50_000, "neither valid JSON nor valid YAML", id="deep"),
        pytest.param('{"a":' * 50_000, "neither valid JSON nor valid YAML", id="long"),
        ('a: "\\U00110000"', "neither valid JSON nor valid YAML"),
    ],
)
def test_settings_that_are_not_a_mapping_are_one_problem(raw: object, expected: str) -> None:
    message = message_of(raw)
    assert message.startswith("result_settings: ")
    assert expected in message


@pytest.mark.parametrize(
    ("line", "name", "expected"),
    [
        ("audience_name: '2024'", "audience_name", "2024"),
        ("audience_name: 2024-01-01", "audience_name", "2024-01-01"),
        ("min_records: 0010", "min_records", 10),
        ("audience_name: !!python/object:os.system x", "audience_name", "x"),
        ("dry_run: TRUE", "dry_run", True),
    ],
)
def test_yaml_text_is_read_as_strings(line: str, name: str, expected: object) -> None:
    base = "\n".join(f"{key}: '{value}'" for key, value in NEW.items() if key not in ("audience_name", name))
    text = f"{base}\n{'' if name == 'audience_name' else 'audience_name: x'}\n{line}"
    assert getattr(read(text), name) == expected


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        (
            {"percent": "10", "salt": "spring", "by": " Customer_ID "},
            ControlGroup(percent=Decimal(10), salt="spring", by="customer_id"),
        ),
        ('{"percent": 0.01, "salt": "a b"}', ControlGroup(percent=Decimal("0.01"), salt="a b")),
        ({"percent": 50.0, "salt": " spring"}, ControlGroup(percent=Decimal(50), salt=" spring")),
    ],
)
def test_a_control_group_is_read(control: object, expected: ControlGroup) -> None:
    assert read({**LEAST, "control": control}).control == expected


WRONG_PERCENT = "percent: must be a number from 0.01 to 50 with at most two decimals, not"


@pytest.mark.parametrize(
    ("control", "said"),
    [
        ({"percent": 50.01, "salt": "x"}, f"{WRONG_PERCENT} 50.01"),
        ({"percent": 10, "salt": "x", "by": " "}, "by: the value contains no visible character"),
        ({"percent": "12.345", "salt": "x"}, f"{WRONG_PERCENT} '12.345'"),
        ({"salt": "x"}, f"{WRONG_PERCENT} null"),
        ({"percent": 10}, "salt: must be a string, not null"),
        ({"percent": 10, "salt": "x", "percnt": 1}, "'percnt' is unknown; did you mean percent?"),
        ("10", "must be a mapping, not a string of 2 characters"),
    ],
)
def test_an_invalid_control_group_is_an_error_that_names_what_is_allowed(control: object, said: str) -> None:
    message = message_of({**LEAST, "control": control})
    assert f"- control: {said}" in message
    assert "; allowed: a mapping of percent (more than 0, up to 50, two decimals at most)" in message
