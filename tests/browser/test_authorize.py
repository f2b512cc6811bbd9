"""`td-pinterest authorize` as a person does it: the command in a terminal, the consent page in a real browser."""

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import children, dig, guard
from tests.browser.conftest import Browser, wait_until
from tests.e2e.project import ROOT, secrets_for
from tests.exporting import Services

COMMAND = [sys.executable, "-m", "td_pinterest_op", "authorize", "--to", "local", "--timeout", "60", "--yes"]
_LINK = re.compile(r"http://127\.0\.0\.1:\d+/oauth/\S+")


def read_link(process: children.Process) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        if link := _LINK.search(line):
            return link[0]
    raise AssertionError("the command printed no address")


def test_workflow_runs_with_a_token_obtained_in_the_browser(
    browser: Browser, services: Services, redirect: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # The browser's driver writes down the address of the page, which holds the code.
    caplog.set_level(logging.INFO, logger="selenium")
    environ = os.environ | services.environ | {"DIGDAG_CONFIG_HOME": str(tmp_path / "digdag"), "BROWSER": "true"}
    del environ["PINTEREST_REFRESH_TOKEN"]
    with children.run_in_background(
        [*COMMAND, "--redirect", redirect],
        cwd=ROOT,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        browser.driver.get(read_link(process))
        browser.driver.find_element("css selector", "button[value=approve]").click()
        # The page comes after two redirects and the exchange of the code.
        wait_until(lambda: "Approved" in browser.text())
        assert browser.accessibility_faults() == []
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "The refresh token is stored in the local digdag secrets" in err
    guard.check(out + err, "the output of the command")
    stored = {file.name: file.read_text() for file in (tmp_path / "digdag" / "secrets").iterdir()}
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "digdag" / "secrets").iterdir()} == {0o600}
    run_export(stored, services, tmp_path)


def run_export(stored: dict[str, str], services: Services, folder: Path) -> None:
    """Run a workflow under tests/dig with the secrets that the command stored."""
    audience = services.audience()
    job = services.job(["anna@shop.example", "bela@shop.example"])
    workflow = folder / "export.dig"
    workflow.write_text(f"""\
+export:
  py>: td_pinterest_op.export.PinterestExport
  job_id: "{job}"
  result_settings:
    type: pinterest
    ad_account_id: "549755885175"
    audience_type: customer_list
    action: add_people_to_current_audience
    audience_id: "{audience}"
  _env:
    TD_API_KEY: ${{secret:td.apikey}}
    PINTEREST_CLIENT_ID: ${{secret:pinterest.client_id}}
    PINTEREST_CLIENT_SECRET: ${{secret:pinterest.client_secret}}
    PINTEREST_REFRESH_TOKEN: ${{secret:pinterest.refresh_token}}
""")
    (folder / "td_pinterest_op").symlink_to(ROOT / "td_pinterest_op")
    endpoints = {name: services.environ[name] for name in ("TD_API_SERVER", "PINTEREST_API_ENDPOINT")}
    result = dig.run(
        workflow, secrets={"td.apikey": secrets_for(services)["td.apikey"], **stored}, environ=os.environ | endpoints
    )
    assert result.error is None, result.log
    assert len(services.pinterest.members_of_audience(audience)) == 2
