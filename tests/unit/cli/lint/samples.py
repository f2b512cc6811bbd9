"""Workflows to plant mistakes in."""

from pathlib import Path

from td_pinterest_op.cli.check import check_file

GOOD = """\
timezone: UTC

_export:
  td:
    database: sandbox
  docker:
    image: treasuredata/customscript-python:3.12.11-td0

+query:
  td>:
    data: SELECT email FROM people

+export:
  py>: td_pinterest_op.export.PinterestExport
  result_settings:
    type: pinterest
    ad_account_id: "549755885175"
    audience_type: customer_list
    action: add_people_to_current_audience
    audience_id_add_people: "2542620905475"
  _env:
    TD_API_KEY: ${secret:td.apikey}
    PINTEREST_CLIENT_ID: ${secret:pinterest.client_id}
    PINTEREST_CLIENT_SECRET: ${secret:pinterest.client_secret}
    PINTEREST_REFRESH_TOKEN: ${secret:pinterest.refresh_token}
"""

# As the page of Treasure Data's own connector shows it.
CONNECTOR = """\
timezone: UTC

_export:
  td:
    database: sandbox

+export:
  td>:
    data: SELECT email FROM people
  result_settings:
\t  type: pinterest
\t  client_id: client_id
\t  client_secret: client-s3cr3t
\t  refresh_token: pinr.s3cr3t-token
\t  ad_account_id: 549755885175
\t  audience_type: customer_list
\t  action: ADD_PEOPLE_TO_CURRENT_AUDIENCE
\t  audience_name: Shoppers
\t  audience_id_add_people: 2542620905475
"""


def found_in(project: Path, text: str) -> list[tuple[int, str]]:
    """Line and code of each finding in a workflow."""
    file = project / "export.dig"
    file.write_text(text)
    return [(finding.line, finding.code) for finding in check_file(file)]
