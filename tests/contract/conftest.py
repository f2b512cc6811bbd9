"""The emulators behind sockets, and the published client that speaks to Pinterest's."""

import logging
from collections.abc import Iterator

import pytest
import tdclient

from tests.contract.sdk import Sdk, refresh_access_token
from tests.emulators.pinterest import Pinterest, Switches, serve_pinterest
from tests.emulators.td import API_KEY, TreasureData, serve_td


@pytest.fixture(autouse=True)
def tdclient_log_level(caplog: pytest.LogCaptureFixture) -> None:
    # At DEBUG td-client logs the API key, which the guard over all tests takes for a leak.
    caplog.set_level(logging.INFO, logger="tdclient")


@pytest.fixture
def emulator_with_url() -> Iterator[tuple[Pinterest, str]]:
    # Version 5.28 of the API lets a list be created without records.
    emulator = Pinterest(switches=Switches(records_required=False))
    with serve_pinterest(state=emulator) as (pinterest, endpoint):
        yield pinterest, endpoint


@pytest.fixture
def td_with_url() -> Iterator[tuple[TreasureData, str]]:
    with serve_td() as served:
        yield served


@pytest.fixture
def td(td_with_url: tuple[TreasureData, str]) -> TreasureData:
    return td_with_url[0]


@pytest.fixture
def td_url(td_with_url: tuple[TreasureData, str]) -> str:
    return td_with_url[1]


@pytest.fixture
def client(td_url: str) -> Iterator[tdclient.Client]:
    with tdclient.Client(API_KEY, endpoint=td_url, max_cumul_retry_delay=0) as client:
        yield client


@pytest.fixture
def pinterest(emulator_with_url: tuple[Pinterest, str]) -> Pinterest:
    return emulator_with_url[0]


@pytest.fixture
def sdk(emulator_with_url: tuple[Pinterest, str]) -> Sdk:
    endpoint = emulator_with_url[1]
    return Sdk(endpoint, refresh_access_token(Sdk(endpoint, None)).access_token)
