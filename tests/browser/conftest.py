"""A real browser: Chromium without a window, skipped where there is none."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("selenium", reason="selenium is not installed")
pytest.importorskip("axe_core_python", reason="axe-core-python is not installed")
from axe_core_python.selenium import Axe
from selenium import webdriver

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


def wait_until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait for the browser, at most this long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the browser did not get there"
        threading.Event().wait(0.05)


class Browser:
    """A browser, the width of its window, and questions about its page."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver
        self.resize(1280, 900)

    def resize(self, width: int, height: int) -> None:
        """Show pages as on a screen of this many CSS pixels; below 500 as a phone does."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def prefer(self, scheme: str) -> None:
        """Prefer the "light" or the "dark" colours."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def run(self, script: str) -> Any:
        """Run `script` in the page and return its result."""
        return self.driver.execute_script(script)

    def is_wider_than_screen(self) -> bool:
        return bool(self.run("return document.documentElement.scrollWidth > window.innerWidth"))

    def accessibility_faults(self) -> list[str]:
        """Return the findings of axe: the rule and places of each."""
        violations = Axe().run(self.driver)["violations"]
        return [f"{fault['id']}: {', '.join(str(node['target']) for node in fault['nodes'])}" for fault in violations]

    def text(self) -> str:
        return str(self.run("return document.body ? document.body.innerText : ''"))


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    binary = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("there is no chromium with its chromedriver on the PATH")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
        options.add_argument(flag)
    # The driver that is installed: selenium must not look for one on the network.
    service = webdriver.ChromeService(driver, log_output=os.devnull)
    with webdriver.Chrome(options=options, service=service) as started:
        started.set_script_timeout(300)  # for axe on a busy machine
        yield started


@pytest.fixture
def browser(chromium: webdriver.Chrome) -> Iterator[Browser]:
    """A browser without cookies and with an empty page.

    The variable SCREENSHOTS names a folder for a picture of each test's last page.
    """
    chromium.get("about:blank")
    chromium.delete_all_cookies()
    browser = Browser(chromium)
    browser.prefer("light")
    yield browser
    folder = os.environ.get("SCREENSHOTS")
    if folder:
        name = os.environ["PYTEST_CURRENT_TEST"].split("::")[-1].split(" ")[0]
        chromium.save_screenshot(str(Path(folder) / f"{name}.png"))
