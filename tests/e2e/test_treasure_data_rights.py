"""What Treasure Data does not let the key's user do, and other traits of an account, switched on in the emulator."""

from typing import Any

import pytest

from td_pinterest_op.errors import ExportError
from tests.e2e.audiences import ADD, settings_of
from tests.exporting import Services, digests, people

QUERY: dict[str, Any] = {"query": "SELECT email FROM people", "database": "crm"}


@pytest.fixture(autouse=True)
def _people(services: Services) -> None:
    services.td.create_people("crm", people(200))


@pytest.mark.parametrize(
    ("switches", "complaint"),
    [
        ({"download": "none"}, r"You do not have the permission.*the permissions Query and Download"),
        ({"download": "preview"}, r"is truncated: 50 of 200 rows arrived.*Give .* the permission Download on"),
        ({"is_admitted": False}, r"\"The IP address 127.*that the account's IP allowlist admits"),
        ({"invisible_columns": {"email"}}, "Column 'email' cannot be resolved"),
    ],
)  # fmt: skip
def test_a_right_that_is_missing_is_named_and_nothing_is_sent(
    services: Services, switches: dict[str, Any], complaint: str
) -> None:
    for name, value in switches.items():
        setattr(services.td.switches, name, value)
    with pytest.raises(ExportError, match=complaint):
        services.export(settings_of(services, ADD) | {"retry_count": 1}, **QUERY)
    assert services.pinterest.calls.writes() == []


def test_masked_columns_look_like_hashes_and_expect_values_stops_them(services: Services) -> None:
    services.td.switches.masked_columns.add("email")
    with pytest.raises(ExportError, match="expect_values"):
        services.export(settings_of(services, ADD) | {"expect_values": "plain"}, **QUERY)


@pytest.mark.parametrize(
    "switches", [{"queued_polls": 40}, {"compresses_results": True}, {"compresses_results": True, "queued_polls": 3}]
)
def test_export_succeeds_whatever_harmless_settings_an_account_has(
    services: Services, switches: dict[str, Any]
) -> None:
    for name, value in switches.items():
        setattr(services.td.switches, name, value)
    audience_id = services.audience()
    services.export({"action": ADD, "audience_id": audience_id}, **QUERY)
    assert services.pinterest.members_of_audience(audience_id) == digests(200)
