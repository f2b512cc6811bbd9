from datetime import datetime, timezone

import pytest

from td_pinterest_op.report.entry import build_entry, parse_time
from td_pinterest_op.run_history.history_table import (
    COLUMN_TYPES,
    FAILED_OUTCOME,
    RUN_ROW,
    STATUS_CHECK_ROW,
    SUCCESS_OUTCOME,
    build_run_row,
    convert_flags_to_columns,
    flatten,
)
from td_pinterest_op.stats import Stats
from tests.unit.report.samples import statistics


def test_a_row_gives_the_same_entry_with_its_values_as_text() -> None:
    given = build_run_row(statistics())
    of_row = build_entry({name: None if value is None else str(value) for name, value in given.items()})
    of_statistics = build_entry(given)
    assert of_statistics.invalid_by_reason == of_row.invalid_by_reason
    for name in given:
        assert of_statistics.get_text(name) == of_row.get_text(name)
        assert of_statistics.get_number(name) == of_row.get_number(name)
    assert (of_row.kind, of_row.outcome) == (RUN_ROW, SUCCESS_OUTCOME)


def test_every_figure_of_the_statistics_has_its_column() -> None:
    stats = Stats(action="a", ad_account_id="1", dry_run=False)
    assert set(convert_flags_to_columns(flatten(stats.to_json()))) - COLUMN_TYPES.keys() == set()


@pytest.mark.parametrize(
    ("given", "kind", "outcome"),
    [
        ({"kind": "run", "rows_read": 1}, RUN_ROW, SUCCESS_OUTCOME),
        ({"kind": "run", "rows_read": 1, "error": "refused"}, RUN_ROW, FAILED_OUTCOME),
        ({"kind": "run", "outcome": "failed"}, RUN_ROW, FAILED_OUTCOME),
        ({"kind": "follow-up", "audience_status": "READY"}, STATUS_CHECK_ROW, SUCCESS_OUTCOME),
    ],
)
def test_an_entry_has_its_kind_and_its_outcome(given: dict[str, object], kind: str, outcome: str) -> None:
    made = build_entry(given)
    assert (kind, outcome) == (made.kind, made.outcome)


@pytest.mark.parametrize(
    ("action", "past", "infinitive"),
    [
        ("add_people_to_current_audience", "Added", "Add"),
        ("replace_current_audience", "Replaced", "Replace"),
        ("", "Run", "Run"),
    ],
)
def test_action_word_is_in_the_past_only_for_what_was_done(action: str, past: str, infinitive: str) -> None:
    changes: list[dict[str, str]] = [{}, {"dry_run": "true"}, {"outcome": "failed"}]
    given = [{"kind": "run", "action": action, **change} for change in changes]
    assert [past, infinitive, infinitive] == [build_entry(each).action_word for each in given]


def test_reasons_that_did_not_occur_are_left_out_and_the_most_frequent_is_first() -> None:
    counts = build_entry(build_run_row(statistics())).invalid_by_reason
    assert list(counts.items()) == [("null", 260), ("not_an_email", 90)]


@pytest.mark.parametrize("value", ["{", "x", "[[]]", float("nan"), {"null": float("nan")}, {"null": "x"}])
def test_unusable_value_of_a_history_row_is_left_out(value: object) -> None:
    made = build_entry({"kind": "run", "rows_invalid_by_reason": value, "lift": value, "seconds_reading": value})
    assert (made.invalid_by_reason, made.get_number("seconds_reading")) == ({}, None)


def test_personal_data_is_masked_and_an_unknown_column_is_dropped() -> None:
    made = build_entry({"kind": "run", "error": "row 3 holds ann@lee.org", "email": "ann@lee.org"})
    assert made.get_text("error") == "row 3 holds <hidden>"
    assert "email" not in made.values


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (1793516400, "2026-11-01T07:00:00+00:00"),
        ("1793516400.5", "2026-11-01T07:00:00.500000+00:00"),
        ("2026-11-01T07:00:00Z", "2026-11-01T07:00:00+00:00"),
        ("2026-11-01T16:00:00+09:00", "2026-11-01T07:00:00+00:00"),
        ("yesterday", None),
        (None, None),
        ("9" * 40, None),
    ],
)
def test_a_moment_is_read_from_seconds_or_iso_text(given: object, expected: str | None) -> None:
    actual = parse_time(given)
    assert expected == (actual.isoformat() if actual else None)
    assert actual is None or timezone.utc == actual.tzinfo
    assert parse_time(datetime(2026, 11, 1, tzinfo=timezone.utc)) is not None
