"""Workflows to plant mistakes in."""

from collections.abc import Sequence
from pathlib import Path

from td_pinterest_op.cli.lint.rules import check_workflow

ENV = """\
  _env:
    TD_API_KEY: ${secret:td.apikey}
    PINTEREST_CLIENT_ID: ${secret:pinterest.client_id}
    PINTEREST_CLIENT_SECRET: ${secret:pinterest.client_secret}
    PINTEREST_REFRESH_TOKEN: ${secret:pinterest.refresh_token}
"""
OWN = f"""\
_export:
  td: {{database: shop}}
+export:
  py>: td_pinterest_op.export.PinterestExport
  query: queries/people.sql
  result_settings:
    type: pinterest
    ad_account_id: "549755885175"
    audience_type: customer_list
    action: add_people_to_current_audience
    audience_id: "2542620905475"
{ENV}"""
ENTRY = (
    "{name: vip, ad_account_id: '1', action: add_people_to_current_audience, audience_id: '2', "
    "query: SELECT email FROM a}"
)
MANY = f"""\
_export:
  td: {{database: shop}}
  audiences:
  - {ENTRY}
  - {ENTRY.replace("vip", "new").replace("'2'", "'3'")}
+export:
  py>: td_pinterest_op.many.Many
  at_once: 4
  result_settings: {{type: pinterest, audience_type: customer_list}}
{ENV}"""
ACTIVATION = f"""\
_export:
  td: {{database: shop}}
  target: {{account: ''}}
+export:
  py>: td_pinterest_op.activation.PinterestActivation
  later_runs: add
  query: SELECT email FROM activation_actions_table
  result_settings:
    type: pinterest
    audience_type: customer_list
    ad_account_id: ${{target.account}}
{ENV}"""
ERASE = f"""\
_export: {{td: {{database: shop}}}}
+erase:
  py>: td_pinterest_op.erase.PinterestErase
  query: queries/people.sql
  result_settings: {{ad_account_ids: "1, 2"}}
{ENV}"""
STATUS = f"""\
+status:
  py>: td_pinterest_op.status.AudienceStatus
  result_settings: {{ad_account_id: "1", audience_ids: "2, 3", fail_on: TOO_SMALL}}
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
}


def plant(text: str, *changes: str) -> str:
    """Return a workflow with changes "old → new", each applied once. The old text must be there."""
    for change in changes:
        old, _, new = change.partition(" → ")
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def found_in(folder: Path, text: str, files: dict[str, str] | None = None) -> Sequence[str]:
    """The findings in a workflow, as printed, with paths in the folder. `files`: what else the folder has."""
    for name, content in {**FILES, **(files or {}), "export.dig": text}.items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text(content)
    return [str(finding).removeprefix(f"{folder}/") for finding in check_workflow(folder / "export.dig")[0].findings]
