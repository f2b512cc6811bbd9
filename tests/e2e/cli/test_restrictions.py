"""Settings that restrict an export are honoured on the command line too, or rejected by name before the first write."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from td_pinterest_op.settings.table import WITHHOLDING_LIST_NAMES
from tests.e2e.audiences import ADD, CLEAR
from tests.e2e.restrictions import MIRROR, ROWS, check_restrictions, create_people
from tests.exporting import Services
from tests.unit.cli.running import Terminal


# The actions themselves honour or reject them in tests/e2e/test_restrictions.py.
@pytest.mark.parametrize(
    ("action", "source"), [(ADD, "--job"), (CLEAR, "--job"), (MIRROR, "--job"), (MIRROR, "--query")]
)
def test_restrictions_on_the_command_line(
    at_terminal: Terminal, services: Services, tmp_path: Path, action: str, source: str
) -> None:
    create_people(services)
    file = tmp_path / "export.yml"

    def run(settings: dict[str, Any], restriction: dict[str, Any]) -> str:
        fewer = ROWS[:240] if "max_leave_ratio" in restriction else ROWS
        rows: dict[str, list[object]] = {
            "--job": ["--job", services.job(fewer)],
            "--query": ["--query", "SELECT email FROM people", "--database", "crm"],
        }
        file.write_text(yaml.safe_dump(settings | restriction))
        options = [] if action == CLEAR else rows[source]
        if options and source == "--job" and not restriction.keys().isdisjoint(WITHHOLDING_LIST_NAMES):
            options = [*options, "--database", "crm"]
        ran = at_terminal("export", "--settings", file, "--yes", *options)
        return "" if ran.code == 0 else ran.err.partition("error: ")[2].replace("\n", " ")

    no_query = action == MIRROR and source != "--query"
    check_restrictions(
        services, action, run, refusal="a mirror and hash_in: warehouse need `query`" if no_query else ""
    )
