"""What an export is about to do, and the brakes."""

from collections import Counter
from typing import Any

import pytest

from td_pinterest_op.audiences.actions import parse_export_settings
from td_pinterest_op.errors import InvalidRowsError, LimitError
from td_pinterest_op.records.limits import check_export_limits
from td_pinterest_op.settings.table import ExportSettings
from td_pinterest_op.stats import Stats
from tests.unit.settings.test_parse import ENVIRON, LEAST


def settings(**changed: Any) -> ExportSettings:
    return parse_export_settings(LEAST | changed, environ=ENVIRON)


def stats(**counts: Any) -> Stats:
    return Stats(action="add_people_to_current_audience", ad_account_id="1", dry_run=False, **counts)


def message_of(settings: ExportSettings, stats: Stats) -> str:
    with pytest.raises((LimitError, InvalidRowsError)) as caught:
        check_export_limits(settings, stats)
    return str(caught.value)


# -- limits


def test_withheld_people_do_not_count_towards_a_limit() -> None:
    counted = stats(read=3, valid=3, unique=3, withheld=Counter({"suppressed": 1}))
    assert message_of(settings(min_records=3), counted).startswith(
        "2 unique records, without 1 record (suppressed 1), are fewer than min_records (3)"
    )


def test_error_counts_values_of_several_columns_and_names_rows() -> None:
    counted = stats(read=2, valid=1, invalid_by_reason=Counter({"empty": 3}), unique=1, first_invalid=[1, 2])
    assert message_of(settings(), counted).startswith(
        "3 of 4 values in 2 rows invalid (empty 3); the first in rows 1, 2."
    )
