"""Make a box for treasure-data/treasure-boxes: the workflows, the operator and a README in the form of its boxes."""

import argparse
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from td_pinterest_op.cli.bundled_code import PACKAGE_PARENT, SHIPPED_WORKFLOWS_FOLDER, collect_code

NAME = "pinterest_export"
SECRETS = ("td.apikey", "pinterest.client_id", "pinterest.client_secret", "pinterest.refresh_token")
_HEADING = "# Workflow: td example (Result Output to Pinterest)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Lay the folder out and print its path; returns the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/box", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=PACKAGE_PARENT / "build" / "box" / NAME)
    folder: Path = parser.parse_args(arguments).folder
    box = folder / "README.md"
    if box.exists() and box.read_text(encoding="utf-8").startswith(_HEADING):
        shutil.rmtree(folder)  # a box that was made before: nothing of it stays
    # phonenumbers is left out: its six hundred files serve one kind of column.
    shutil.copytree(SHIPPED_WORKFLOWS_FOLDER, folder)
    for name, content in collect_code().items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    box.write_text(readme(), encoding="utf-8")
    print(folder)
    return 0


def readme() -> str:
    """The box's README: headings and their order are those of the boxes that write to other services."""
    rows = _rows("workflows/README.md", "The workflows, one by one")
    workflows = "\n".join(f"- `{name}`: {what}" for name, what in rows)
    secrets = " ".join(f"--set {name}" for name in SECRETS)
    return f"""{_HEADING}

This example exports the result of a query to an audience of [Pinterest](https://www.pinterest.com/business/) with a
custom operator in Python. E-mail addresses and device ids are
normalised and hashed (SHA-256) before they leave Treasure Data's container.

{workflows}

# Prerequisites

- A Pinterest business account, an app (https://developers.pinterest.com/apps/), and a refresh token with the scopes
  `ads:read` and `ads:write`.
- An ad account on which the token's user is OWNER, ADMIN or AUDIENCE_MANAGER.
- A table with a column that is named for its identifiers, such as `email`.
- Columns of phone numbers need the Python package `phonenumberslite` next to the operator.

# How to Run

Set your ids in `config/export.yml`, your database in `config/workflow.yml`, and your query in `queries/people.sql`.
Uncomment `docker:` in `config/workflow.yml`.

    # Upload
    $ td wf push {NAME}

    # Set Secrets
    $ td wf secrets --project {NAME} {secrets}

    # Run
    $ td wf start {NAME} {NAME} --session now

## Local mode

    # Set Secrets
    $ td wf secrets --local {secrets}

    # Run
    $ td wf run {NAME}.dig

# Supplemental

Available parameters for `result_settings` are here.

{_parameters()}

# Next Step

If you have any questions, please contact support@treasuredata.com.
"""


def _parameters() -> str:
    lines = []
    for name, default, meaning in _rows("docs/settings.md", "Settings"):
        need = default if default == "required" else "optional"
        by_default = "" if default in ("–", "required") else f", default: {default.strip('`')}"
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", meaning)  # a box has no pages to link to
        lines.append(f"- {name}: {text} ({need}{by_default})")
    return "\n".join(lines)


def _rows(page: str, heading: str) -> list[list[str]]:
    """The cells of the tables below a heading of a page, the first without its backquotes."""
    text = re.split(r"\n## ", (PACKAGE_PARENT / page).read_text().split(f"\n## {heading}\n")[1])[0]
    tables = re.findall(r"\n\| --- .*\n((?:\|.*\n)+)", text)
    if not tables:
        sys.exit(f"{page} has no table below {heading}")
    lines = "".join(tables).splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [[cells[0].strip("`"), *cells[1:]] for cells in rows]


if __name__ == "__main__":
    sys.exit(main())
