"""The pages of Pinterest's emulator, in a real browser: the consent, and the overview of what is held."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

import pytest
import requests
from selenium.webdriver.common.by import By

from tests.browser.conftest import Browser, wait_until
from tests.emulators.pinterest import AD_ACCOUNT_ID, CLIENT_ID, Answer, Fault, Pinterest, serve_pinterest
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
def test_pages_have_no_accessibility_faults(
    browser: Browser, pinterest: Pinterest, root: str, callback: Callback, size: tuple[int, int], scheme: str
) -> None:
    pinterest.switches.set({"redirect_uris": [callback.url], "listing_lag_seconds": 2})
    pinterest.add_audience("Shoppers", customer_list_id=pinterest.add_list("Shoppers").id)
    pinterest.add_audience("Gone", removed=True)
    pinterest.inject(Fault(effect=Answer(status=503)))
    requests.get(f"{root}/v5/ad_accounts", timeout=10)
    browser.resize(*size)
    browser.prefer(scheme)
    for address in (consent_url(root, callback), f"{root}/"):
        browser.driver.get(address)
        assert [] == browser.accessibility_faults()


def test_unknown_app_gets_json_without_redirect(
    browser: Browser, pinterest: Pinterest, root: str, callback: Callback
) -> None:
    browser.driver.get(consent_url(root, callback))
    assert '"code": 7' in browser.text()
    browser.driver.get(consent_url(root, callback).replace(CLIENT_ID, "999"))
    assert '"code": 283' in browser.text()
    assert [] == callback.asked


def join_digests(count: int) -> str:
    return ",".join(hashlib.sha256(f"{number}".encode()).hexdigest() for number in range(count))


def brightness(browser: Browser, style: str) -> int:
    """The sum of red, green and blue of one of the page's colours."""
    colour = str(browser.run(f"return getComputedStyle(document.body).{style}"))
    return sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_overview_updates_without_a_reload(
    browser: Browser, pinterest: Pinterest, root: str, size: tuple[int, int], scheme: str
) -> None:
    held = pinterest.add_list("Winter list")
    pinterest.add_audience("Winter buyers", customer_list_id=held.id)
    browser.resize(*size)
    browser.prefer(scheme)
    browser.driver.get(f"{root}/")
    assert "Winter buyers" in browser.text()
    assert not browser.is_wider_than_screen()
    assert (scheme == "dark") == (brightness(browser, "backgroundColor") < brightness(browser, "color"))
    browser.run("window.marker = true")
    url = f"{root}/v5/ad_accounts/{AD_ACCOUNT_ID}/customer_lists/{held.id}"
    headers = {"Authorization": f"Bearer {pinterest.tokens.issue_access_token()}"}
    body = {"operation_type": "ADD", "records": join_digests(120)}
    assert 200 == requests.patch(url, json=body, headers=headers, timeout=10).status_code
    pinterest.inject(Fault(effect=Answer(status=503)))
    assert 503 == requests.patch(url, json=body, headers=headers, timeout=10).status_code
    wait_until(lambda: "503" in browser.text())
    text = browser.text()
    assert "PATCH ADD" in text
    assert "120" in text
    assert "ready" in text
    assert browser.run("return window.marker")
    assert not browser.is_wider_than_screen()
    assert [] == browser.foreign_resources()
    assert join_digests(1) not in browser.driver.page_source


def test_overview_reports_that_the_emulator_has_ended(browser: Browser, pinterest: Pinterest) -> None:
    with serve_pinterest(state=pinterest) as (_, endpoint):
        browser.driver.get(endpoint.removesuffix("v5"))
    wait_until(lambda: "the emulator does not answer" in browser.text())


def test_markup_in_names_is_shown_as_text(browser: Browser, pinterest: Pinterest, root: str) -> None:
    pinterest.add_audience("<img src=x onerror=document.title='broken'>")
    browser.driver.get(f"{root}/")
    assert "<img src=x" in browser.text()
    assert "broken" != browser.driver.title


def test_overview_lists_the_controls_with_their_address(browser: Browser, root: str) -> None:
    browser.driver.get(f"{root}/")
    browser.driver.find_element(By.TAG_NAME, "summary").click()
    assert f"curl -X POST {root}/_test/switches" in browser.text()
