"""`hash_in: warehouse`: the same members, reasons and figures, and no plain identifier leaves Treasure Data."""

import re
from typing import Any

import msgpack
import pytest

from td_pinterest_op.errors import InvalidRowsError, JobError, LimitError, SettingsError
from td_pinterest_op.identifiers.reasons import Reason
from tests.campaigns import select_rows
from tests.e2e.audiences import ADD
from tests.exporting import Services, people
from tests.warehouses import corpus

DEVICE = "5eed0001-aaaa-4bbb-8ccc-{:012d}".format
SKIPS = {"ignore_invalid_records": True}
WAREHOUSE = {"hash_in": "warehouse", **SKIPS}
# A digest, also of a value that was hashed already, or a reason.
_NOTHING_PLAIN = re.compile("|".join(["=?[0-9a-f]{64}", *(reason.value for reason in Reason)]))
# The statistics that two runs of the same rows share.
FIGURES = ("rows", "records", "values")


@pytest.fixture(autouse=True)
def _tables(services: Services) -> None:
    """Values for every rule, in two columns and in an array, and a key of each person, some of them null."""
    values = corpus()
    others = [*values[1:], *people(1)]
    rows = [
        {"email": value, "Mail": other, "maid": other, "customer": None if number % 50 == 9 else number}
        for number, (value, other) in enumerate(zip(values, others, strict=True))
    ]
    rows += [
        {"email": f" {person.upper()}", "Mail": None, "maid": DEVICE(number), "customer": 5000 + number}
        for number, person in enumerate([*people(200), *people(50)])
    ]
    services.td.create("crm", "people", rows)
    services.td.create("crm", "listed", [{"mail": value} for value in [*people(20), *values[::3]]])


def run_export(services: Services, settings: dict[str, Any], **params: Any) -> tuple[set[str], dict[str, Any]]:
    """Export to a new audience; return its members and the stored statistics."""
    audience_id = services.audience()
    settings = {"action": ADD, "audience_id": audience_id, **SKIPS, **settings}
    stored = services.export(settings, **{"database": "crm", **params})
    return services.pinterest.members_of_audience(audience_id), stored


def texts_from_treasure_data(services: Services) -> list[str]:
    """Return every text in the rows that Treasure Data has served."""
    calls = services.td.calls("GET", "/v3/job/result/")
    texts: list[str] = []
    for call in calls:
        output = services.td.job(call.path.rsplit("/", 1)[1]).output
        unpacker = msgpack.Unpacker()
        unpacker.feed(b"".join(output.unpacked().chunks(0, None)) if output else b"")
        for row in unpacker:
            for cell in row:
                texts += [value for value in (cell if isinstance(cell, list) else [cell]) if isinstance(value, str)]
    return texts


@pytest.mark.parametrize(
    ("query", "settings", "lists"),
    select_rows(
        [
            ("SELECT maid AS IDFA FROM people -- everybody's\n;", {}, {}),
            ('SELECT email, "Mail" AS mail FROM people -- twice', {"columns": {"Mail": "email"}}, {}),
            ('SELECT ARRAY[email, NULL, "Mail"] AS email, maid FROM people', {}, {}),
            ("WITH some AS (SELECT * FROM people) SELECT email FROM some ORDER BY customer LIMIT 400", {}, {}),
            (
                "SELECT customer, email, maid FROM people",
                {"control": {"percent": "12.5", "salt": "spring", "by": "Customer"}},
                {},
            ),
            (
                "SELECT email, maid, CAST(customer AS varchar) AS customer FROM people",
                {"control": {"percent": 50, "salt": "x", "by": "customer"}, "columns": {"email": "email"}},
                {"suppress": "SELECT mail AS email FROM listed", "consent": "SELECT email FROM people"},
            ),
        ],
        quick=4,
    ),
)
def test_hashing_in_the_warehouse_gives_the_same_members_reasons_and_figures(
    services: Services, query: str, settings: dict[str, Any], lists: dict[str, str]
) -> None:
    expected_members, expected = run_export(services, settings, query=query, **lists)
    services.td.requests.clear()
    members, stored = run_export(services, {**settings, "hash_in": "warehouse"}, query=query, **lists)
    assert members == expected_members
    assert {name: expected[name] for name in FIGURES} == {name: stored[name] for name in FIGURES}
    assert len(members) > 5
    texts = texts_from_treasure_data(services)
    assert len(texts) > 100
    assert [text for text in texts if not _NOTHING_PLAIN.fullmatch(text)] == []


@pytest.mark.parametrize(
    "settings", [{"ignore_invalid_records": False}, {"max_invalid_ratio": 0.1}, {"expect_values": "hashed"}]
)
def test_limits_stop_an_export_with_the_same_message_for_both_places_of_hashing(
    services: Services, settings: dict[str, Any]
) -> None:
    messages = []
    for hash_in in ("operator", "warehouse"):
        with pytest.raises((InvalidRowsError, LimitError)) as caught:
            run_export(services, {**settings, "hash_in": hash_in}, query="SELECT email FROM people")
        messages.append(str(caught.value).split(" (ad account")[0])
    assert messages[0] == messages[1]
    assert services.pinterest.calls.writes() == []


@pytest.mark.parametrize(
    ("settings", "params", "error"),
    [
        ({}, {"job_id": "12"}, "hash_in: warehouse need `query` and its database in place of a job"),
        ({}, {"td": {"last_job_id": 13}}, "hash_in: warehouse need `query` and its database in place of a job"),
        ({}, {"query": "SELECT 1", "engine": "hive"}, "and the engine presto or trino"),
        ({}, {"query": "SELECT 1; SELECT 2"}, "several statements"),
        ({"records": "rows"}, {"query": "SELECT 1"}, "records: rows"),
    ],
)
def test_settings_that_exclude_the_warehouse_are_an_error_before_any_request(
    services: Services, settings: dict[str, Any], params: dict[str, Any], error: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(error)):
        run_export(services, WAREHOUSE | settings, **params)
    assert services.td.requests == []


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"query": "SELECT email, customer FROM people"}, 'column "customer" is not an identifier'),
        ({"query": "SELECT customer AS email FROM people"}, 'column "email" is of type bigint: cast it to varchar'),
        ({"query": "SELECT nothing FROM people"}, "ended with status error"),
        ({"query": "SELECT email FROM people", "suppress": "SELECT 1 AS one"}, "[the query of `suppress`]"),
    ],
)
def test_unusable_columns_are_an_error_before_a_row_is_read(
    services: Services, params: dict[str, str], error: str
) -> None:
    with pytest.raises(JobError, match=re.escape(error)):
        run_export(services, WAREHOUSE, **params)
    assert texts_from_treasure_data(services) == []
