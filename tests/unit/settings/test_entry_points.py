"""`result_settings` of the entry points besides the export: the status, the erasure, a bare connection."""

from collections.abc import Callable, Mapping
from functools import partial

import pytest

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.settings import table as tables
from td_pinterest_op.settings.parse import parse_settings
from td_pinterest_op.settings.table import ConnectionSettings
from tests.unit.settings.test_parse import ENVIRON

STATUS = {"ad_account_id": "549755885175", "audience_ids": ["7", "8"]}
ERASURE = {"ad_account_ids": ["549755885175"]}

Parse = Callable[..., ConnectionSettings]

parse_status = partial(parse_settings, table=tables.STATUS_SETTINGS)
parse_erasure = partial(parse_settings, table=tables.ERASURE_SETTINGS)
parse_connection = partial(parse_settings, table=tables.CONNECTION_SETTINGS)


def problems_of(parse: Parse, raw: object, environ: Mapping[str, str] = ENVIRON) -> list[str]:
    """The lines of the error, without its first."""
    with pytest.raises(SettingsError) as caught:
        parse(raw, environ=environ)
    return str(caught.value).splitlines()[1:]


def test_a_bare_connection_needs_credentials_only() -> None:
    assert parse_connection({}, environ=ENVIRON).ad_account_id == ""
    assert len(problems_of(parse_connection, {}, {})) == 3


@pytest.mark.parametrize(
    "ids", [["7", "8"], [7, 8, "7"], '["7", "8"]', "[7, 8]", "7,8", " 7 , 8, ", "- 7\n- '8'", ("7", 8.0)]
)
def test_ids_may_be_a_list_or_text_of_one(ids: object) -> None:
    assert parse_status({**STATUS, "audience_ids": ids}, environ=ENVIRON).audience_ids == ("7", "8")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"audience_ids": None, "audience_id": 7}, ("7",)),
        ({"audience_ids": 7}, ("7",)),
    ],
)
def test_a_single_audience_may_be_given_as_audience_id(changes: dict[str, object], expected: tuple[str, ...]) -> None:
    assert parse_status({**STATUS, **changes}, environ=ENVIRON).audience_ids == expected


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("min_size", "100", 100),
        ("max_drop_ratio", "0.5", 0.5),
        ("history", "", None),
        ("history", "pinterest_history", (None, "pinterest_history")),
        ("fail_on", [], frozenset()),
        ("fail_on", "too small, initializing", frozenset({"TOO_SMALL", "INITIALIZING"})),
        ("fail_on", ["READY"], frozenset({"READY"})),
        ("type", "Pinterest", None),
    ],
)
def test_a_setting_of_a_follow_up_is_read(key: str, value: object, expected: object) -> None:
    assert getattr(parse_status({**STATUS, key: value}, environ=ENVIRON), key, None) == expected


@pytest.mark.parametrize(
    ("parse", "raw", "expected"),
    [
        (parse_status, {**STATUS, "audience_ids": ""}, "- audience_ids: missing (or audience_id); allowed: a list"),
        (parse_status, {**STATUS, "audience_ids": []}, "- audience_ids: must not be empty; allowed"),
        (
            parse_status,
            {**STATUS, "audience_ids": ["7", "x"]},
            "- audience_ids: number 2: must be an id (only digits, at most 40), not a string of 1 character",
        ),
        (parse_status, {**STATUS, "audience_id": "9"}, "- audience_ids: conflicts with audience_id"),
        (
            parse_status,
            {**STATUS, "fail_on": "TOSMALL"},
            "- fail_on: number 1: 'TOSMALL' is not an allowed value; allowed: a",
        ),
        (
            parse_status,
            {**STATUS, "max_drop_ratio": 2},
            "- max_drop_ratio: 2 is not an allowed value; allowed: a",
        ),
        (parse_erasure, {}, "- ad_account_ids: missing (or ad_account_id); allowed: a list"),
        (
            parse_erasure,
            {"ad_account_ids": ["1" * 19]},
            "- ad_account_ids: number 1: must be an id (only digits, at most 18), not a string of 19 characters",
        ),
        (parse_erasure, {**ERASURE, "ad_account_id": "9"}, "- ad_account_ids: conflicts with ad_account_id"),
    ],
)
def test_a_wrong_setting_is_named(parse: Parse, raw: object, expected: str) -> None:
    assert problems_of(parse, raw)[0].startswith(expected)


@pytest.mark.parametrize("ids", [[2**53 + 1, 7], [2**53 + 1], "7,549755885175000000", ["549755885175000000"]])
def test_ids_that_may_have_lost_digits_give_a_warning(ids: object) -> None:
    (warning,) = parse_status({**STATUS, "audience_ids": ids}, environ=ENVIRON).warnings
    assert warning.text.endswith(": audience_ids")
