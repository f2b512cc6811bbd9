"""Workflows, and what `check` finds in them."""

import re
from pathlib import Path

from td_pinterest_op.cli.lint.workflow_check import check_workflow

ENV = """\
  _env:
    TD_API_KEY: ${secret:td.apikey}
    PINTEREST_CLIENT_ID: ${secret:pinterest.client_id}
    PINTEREST_CLIENT_SECRET: ${secret:pinterest.client_secret}
    PINTEREST_REFRESH_TOKEN: ${secret:pinterest.refresh_token}
"""
SETTINGS = """\
type: pinterest
ad_account_id: "549755885175"
audience_type: customer_list
action: add_people_to_current_audience
audience_id: "2542620905475"
"""
OWN = f"""\
_export:
  td: {{database: shop}}
+export:
  py>: td_pinterest_op.export.PinterestExport
  query: queries/people.sql
  result_settings:
    {SETTINGS.strip().replace(chr(10), chr(10) + "    ")}
{ENV}"""
CONNECTOR = """\
+export:
  td>: queries/people.sql
  database: shop
  result_connection: my_pinterest
  result_settings: {ad_account_id: 1, audience_type: customer_list, action: create_new_audience, audience_name: a}
"""
FILES = {
    "queries/people.sql": "SELECT email FROM people\n",
    "queries/suppressed.sql": "SELECT email FROM opt_outs\n",
    "queries/two.sql": "SELECT email FROM a; SELECT email FROM b\n",
    "queries/hive.sql": "SET hive.exec.parallel=true; SELECT email FROM a\n",
    "config/export.yml": SETTINGS,
    "config/environment.yml": ENV.partition("\n")[2].replace("    ", ""),
}


def write_project(folder: Path, text: str, files: dict[str, str] | None = None) -> Path:
    """Write a project with a workflow, and return the workflow's path. `files`: what else the folder has."""
    for name, content in {**FILES, **(files or {}), "export.dig": text}.items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text(content)
    return folder / "export.dig"


def find_problems(folder: Path, text: str, files: dict[str, str] | None = None) -> list[str]:
    """Return the findings in a workflow, as printed, with paths in the folder."""
    path = write_project(folder, text, files)
    return [str(finding).removeprefix(f"{folder}/") for finding in check_workflow(path).findings]


def expected_problems(name: str, text: str) -> list[str]:
    """Return the beginnings of findings that comments of a file announce, such as `# finds value: ad_account_id`."""
    marks = [(number, re.findall(r"# finds ([^#]*)", line)) for number, line in enumerate(text.splitlines(), start=1)]
    return [f"{name}:{number}: {said.strip()}" for number, found in marks for said in found]


def read_workflows(name: str) -> dict[str, str]:
    """Return the workflows in a file of this folder, by the names in the lines `=== NAME` before them."""
    parts = (Path(__file__).parent / name).read_text().split("=== ")[1:]
    return dict(part.split("\n", 1) for part in parts)
