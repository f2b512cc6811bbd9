"""Workflows of 0.5 with opt-outs or consents, as they lie there: refused by name, and nothing is sent."""

from pathlib import Path

import pytest

from tests.e2e.project import ENGINES, Run
from tests.exporting import Services, people

pytestmark = pytest.mark.parametrize("engine", ENGINES)
SETTINGS = """\
  result_settings:
    type: pinterest
    ad_account_id: "549755885175"
    audience_type: customer_list
    action: {action}
    audience_id: "{audience_id}"
    ignore_invalid_records: true
"""
LISTS = """\
  suppress: queries/suppressed.sql
  consent: queries/consented.sql
"""
EXPORT = f"  py>: td_pinterest_op.export.PinterestExport\n  query: queries/people.sql\n{LISTS}{SETTINGS}"
ACTIVATION = EXPORT.replace("export.PinterestExport", "activation.PinterestActivation")
MANY = (
    f"  py>: td_pinterest_op.many.Many\n{LISTS}"
    "  result_settings: {{type: pinterest, audience_type: customer_list}}\n"
    '  audiences:\n  - {{name: vip, ad_account_id: "549755885175", action: {action}, audience_id: "{audience_id}", '
    "query: queries/people.sql}}\n"
)
EXPORTED = EXPORT.replace(LISTS, "  _export: {{consent: queries/consented.sql}}\n")


@pytest.mark.parametrize(
    ("task", "action", "said"),
    [
        (EXPORT, "remove_people_from_current_audience", "suppress and consent next to result_settings"),
        (EXPORTED, "mirror_current_audience", "consent next to result_settings"),
        (ACTIVATION, "add_people_to_current_audience", "suppress and consent next to result_settings"),
        (MANY, "add_people_to_current_audience", "suppress and consent next to result_settings"),
    ],
)
def test_lists_where_0_5_had_them_are_refused_by_name(
    run: Run, services: Services, project: Path, task: str, action: str, said: str
) -> None:
    services.td.create_people("sandbox", people(150))
    text = task.format(action=action, audience_id=services.audience())
    (project / "old.dig").write_text(
        f"_export: {{td: {{database: sandbox}}}}\n+export:\n{text}  _env:\n    !include : config/environment.yml\n"
    )
    ran = run("old")
    assert not ran.succeeded
    assert f"{said} would withhold nobody: move the line into result_settings" in ran.log
    assert services.pinterest.calls.writes() == []
