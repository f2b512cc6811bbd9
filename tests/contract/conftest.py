"""The Pinterest emulator behind a socket, and the published client that speaks to it."""

import logging
from collections.abc import Iterator

import pytest

from tests.contract.sdk import Sdk, refresh_access_token
from tests.emulators.pinterest import Pinterest, Switches, serve_pinterest


@pytest.fixture(autouse=True)
def tdclient_log_level(caplog: pytest.LogCaptureFixture) -> None:
    # At DEBUG td-client logs the API key, which the guard over all tests takes for a leak.
    caplog.set_level(logging.INFO, logger="tdclient")


@pytest.fixture
def emulator_with_url() -> Iterator[tuple[Pinterest, str]]:
    # As 5.28 has it: a list may be created without records.
    emulator = Pinterest(switches=Switches(records_required=False))
    with serve_pinterest(state=emulator) as (pinterest, endpoint):
        yield pinterest, endpoint


@pytest.fixture
def pinterest(emulator_with_url: tuple[Pinterest, str]) -> Pinterest:
    return emulator_with_url[0]


@pytest.fixture
def sdk(emulator_with_url: tuple[Pinterest, str]) -> Sdk:
    endpoint = emulator_with_url[1]
    return Sdk(endpoint, refresh_access_token(Sdk(endpoint, None)).access_token)
