"""The sandbox, as `scripts/sandbox` starts it, with fewer people."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from td_pinterest_op.report.sources import entries
from tests import children, guard
from tests.e2e.project import ROOT
from tests.emulators.__main__ import AUDIENCE_NAME, guide
from tests.emulators.environment import environment
from tests.emulators.pinterest import CONTROLS


def test_the_sandbox_ends_with_pinterest_holding_exactly_what_was_read_and_a_page_about_the_run(tmp_path: Path) -> None:
    page = tmp_path / "new" / "page.html"
    done = children.run([sys.executable, "-m", "tests.sandbox", "--rows", "3000", "--page", page], cwd=ROOT)
    guard.check(done.stdout + done.stderr, "the sandbox")
    assert (0, True) == (
        done.returncode,
        "the very same digests                                          yes" in done.stdout,
    ), done.stderr
    assert f"The page about this run: {page}\n" in done.stdout
    html = page.read_text()
    guard.check(html, "the page")
    (run,) = entries(html, name="the page")
    statistics = json.loads(re.findall(r"INFO statistics: (\{.*\})", done.stdout)[-1])
    assert AUDIENCE_NAME == run.text("audience_name")
    assert (statistics["rows"]["read"], statistics["records"]["sent"]) == (
        run.number("rows_read"),
        run.number("records_sent"),
    )


def test_people_are_told_where_the_pages_are_and_what_can_be_done_to_the_emulator() -> None:
    lines = guide(environment(td_url="http://127.0.0.1:1/", pinterest_endpoint="http://127.0.0.1:2/v5"))
    assert "What Pinterest holds, live: http://127.0.0.1:2/" in lines
    assert "The consent page: http://127.0.0.1:2/oauth/ (redirect http://localhost:8085/)" in lines
    assert len(CONTROLS) == sum("http://127.0.0.1:2/_test/" in line for line in lines)
