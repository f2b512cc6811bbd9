"""The consent page of Pinterest's emulator, in a real browser."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

import pytest
from selenium.webdriver.common.by import By

from tests.browser.conftest import Browser, wait_until
from tests.emulators.pinterest import CLIENT_ID, Pinterest, serve_pinterest
from tests.sinks import ReceivedRequest, serve_web_sink

SIZES = [(1280, 900), (390, 844)]


@dataclass(frozen=True, slots=True)
class Callback:
    """The redirect address of an app, and the requests to it."""

    url: str
    asked: list[ReceivedRequest]


@pytest.fixture
def callback() -> Iterator[Callback]:
    with serve_web_sink() as (url, asked):
        yield Callback(f"{url}/200/", asked)


@pytest.fixture
def pinterest() -> Pinterest:
    return Pinterest()


@pytest.fixture
def root(pinterest: Pinterest) -> Iterator[str]:
    with serve_pinterest(state=pinterest) as (_, endpoint):
        yield endpoint.removesuffix("/v5")


def consent_url(root: str, callback: Callback) -> str:
    asked = {"redirect_uri": callback.url, "response_type": "code", "scope": "ads:read,ads:write", "state": "s1"}
    return f"{root}/oauth/?{urlencode({'client_id': CLIENT_ID} | asked)}"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("button", "uses_keyboard", "answer"), [("approve", False, "?code="), ("refuse", True, "?error=access_denied")]
)
def test_consent_page_lets_a_person_choose_an_account_and_approve_or_refuse(
    browser: Browser,
    pinterest: Pinterest,
    root: str,
    callback: Callback,
    size: tuple[int, int],
    button: str,
    uses_keyboard: bool,
    answer: str,
) -> None:
    pinterest.switches.redirect_uris = frozenset({callback.url})
    agency = pinterest.add_user("agency", business_name="An agency")
    browser.resize(*size)
    browser.driver.get(consent_url(root, callback))
    assert not browser.is_wider_than_screen()
    browser.driver.find_element(By.CSS_SELECTOR, f"input[value='{agency.id}']").click()
    pressed = browser.driver.find_element(By.CSS_SELECTOR, f"button[value={button}]")
    pressed.send_keys("\n") if uses_keyboard else pressed.click()
    wait_until(lambda: callback.asked)
    assert callback.asked[0].path.startswith(f"/200/{answer}")
    assert callback.asked[0].path.endswith("&state=s1")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_consent_page_has_no_accessibility_faults(
    browser: Browser, pinterest: Pinterest, root: str, callback: Callback, size: tuple[int, int], scheme: str
) -> None:
    pinterest.switches.redirect_uris = frozenset({callback.url})
    browser.resize(*size)
    browser.prefer(scheme)
    browser.driver.get(consent_url(root, callback))
    assert [] == browser.accessibility_faults()
