"""`check` says what a run would say, at the line where it is written, and of a right project nothing."""

from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

from td_pinterest_op.cli.lint import rules
from tests.unit.cli.lint.samples import ACTIVATION, CONNECTOR, ENTRY, ENV, ERASE, MANY, OWN, STATUS, found_in, plant

_SETTINGS_TEXT = "_export:\n → _export:\n  a: '{supress: b, suppress: }'\n"
_ID = '    audience_id: "2542620905475"\n'
_SETTINGS = OWN[OWN.index("  result_settings") : OWN.index("  _env")]
_LIST = MANY[MANY.index("  audiences") : MANY.index("+export")]
_QUERY = "query: queries/people.sql"
_TARGET = ('"2542620905475" → ${target.id}', "_export:\n → _export:\n  target: {id: '7'}\n")
_FAILED = "_error:\n  +record:\n    py>: td_pinterest_op.history.Failed\n    history: ${settings.history}\n"
_LIFT = f"_export:\n  lift: {{percent: 10}}\n+a:\n  py>: td_pinterest_op.history.Lift\n{ENV}"
_SECRET = "${secret:pinterest.client_secret}"
_LOOP = "_export: {td: {database: shop}}\n+all:\n  for_each>: {banner: [{id: '2', percent: 5}]}\n  _do:\n" + indent(
    plant(OWN[OWN.index("+export") :], '"2542620905475" → ${banner.id}'), "    "
)
_FILE = "_export:\n → _export:\n  settings:\n    !include : config/export.yml\n"
_SHARED = plant(OWN, f"{_SETTINGS} →   result_settings:\n    !include : config/export.yml\n", _FILE)
_YAML = (_SETTINGS.partition("\n")[2]).replace("    ", "")

_CREATE = (
    "add_people_to_current_audience → create_new_audience",
    f"{_ID} →     audience_name: of ${{session_date}}\n    if_exists: add\n",
)

# The line of a finding (in another file: with its name), how it begins, and a workflow with changes to it.
WRONG: list[tuple[Any, ...]] = [
    # What a run refuses: settings.
    (6, "missing: audience_type: missing; allowed: customer_list", OWN, "    audience_type: customer_list\n → "),
    (6, "missing: audience_id_add_people: missing, and add_people", OWN, f"{_ID} → "),
    (11, "missing: audience_id_add_people: missing, and add_people", OWN, '"2542620905475" → ""'),
    (2, "missing: audience_id_add_people: missing", OWN, *_TARGET, "'7' → ''"),
    (10, "unknown: acton: is unknown; did you mean action?", OWN, "action: add → acton: add"),
    (2, "value: audience_id: must be an id", OWN, *_TARGET, "'7' → your_audience"),
    (3, "value: audience_id: must be an id", OWN, *_TARGET, "'7' → '${name}'", "_export:\n → _export:\n  name: '8'\n"),
    (12, "value: min_records: 'ten' is not an allowed value; allowed:", OWN, f"{_ID} → {_ID}    min_records: ten\n"),
    (
        12,
        "wrong: max_leave_ratio: add_people_to_current_audience cannot",
        OWN,
        f"{_ID} → {_ID}    max_leave_ratio: 0.5\n",
    ),
    (12, "unknown: query: is not a key of result_settings", OWN, f"{_ID} → {_ID}    query: SELECT 1\n"),
    (
        12,
        "unknown: settings_for_this_run: is not a key of result_settings, but a",
        OWN,
        f"{_ID} → {_ID}    settings_for_this_run: {{}}\n",
    ),
    (12, "wrong: history: names a secret", OWN, f"{_ID} → {_ID}    history: ${{secret:a}}\n"),
    (4, "missing: type: missing; allowed: pinterest", OWN, f"{_SETTINGS} → "),
    (6, "wrong: result_settings: ", OWN, f"{_SETTINGS} →   result_settings: [a]\n"),
    (6, "unknown: supress: is unknown", OWN, f"{_SETTINGS} →   result_settings: '{{supress: a}}'\n"),
    (2, "unknown: supress: is unknown", OWN, f"{_SETTINGS} →   result_settings: ${{a}}\n", _SETTINGS_TEXT),
    (2, "value: suppress: is blank", OWN, f"{_SETTINGS} →   result_settings: ${{a}}\n", _SETTINGS_TEXT),
    (
        13,
        "unknown: zzz: is unknown",
        OWN,
        "add_people_to_current_audience → ${what}",
        f"{_ID} → {_ID}    min_records: 1\n    zzz: ${{a}}\n",
    ),
    (
        "config/wrong.yml:6",
        "value: min_records: 'ten' is not",
        _SHARED,
        "config/export → config/wrong",
        "config/export → config/wrong",
    ),
    (3, "value: fail_on: number 1: 'TO_SMALL'", STATUS, "TOO_SMALL → TO_SMALL"),
    (5, "value: ad_account_ids: number 1: must be an id", ERASE, '"1, 2" → "one"'),
    # Secrets.
    (4, "environment: client_id: PINTEREST_CLIENT_ID is missing", OWN, f"{ENV} → "),
    (
        12,
        "environment: client_secret: PINTEREST_CLIENT_SECRET is missing",
        OWN,
        f"    PINTEREST_CLIENT_SECRET: {_SECRET}\n → ",
    ),
    (15, "environment: client_secret: PINTEREST_CLIENT_SECRET is missing", OWN, f"{_SECRET} → ''"),
    (
        12,
        "environment: client_secret: PINTEREST_DE_CLIENT_SECRET is missing",
        OWN,
        f"{_ID} → {_ID}    client_secret: ${{secret:pinterest_de.client_secret}}\n",
    ),
    (12, "environment: there is no TD_API_KEY", OWN, "    TD_API_KEY: ${secret:td.apikey}\n → "),
    (
        13,
        "wrong: TD_API_SERVER must be an https",
        OWN,
        "    TD_API_KEY →     TD_API_SERVER: http://td.example\n    TD_API_KEY",
    ),
    (19, "environment: there is no TD_API_KEY", OWN + _FAILED),
    # Queries.
    (5, "value: query: there is no file queries/none.sql", OWN, "people.sql → none.sql"),
    (5, "value: query: a\\x00.sql is no path", OWN, 'queries/people.sql → "a\\0.sql"'),
    (5, "value: query: ../people.sql is outside the project", OWN, "queries/people.sql → ../people.sql"),
    (5, "wrong: query has several statements", OWN, "people.sql → two.sql"),
    (5, "value: query of the task is blank", OWN, "queries/people.sql → ''"),
    (5, "wrong: the task has both job_id and query", OWN, "  result_ →   job_id: 1\n  result_"),
    (4, "missing: there is no job to export", OWN, f"  {_QUERY}\n → "),
    (4, "missing: a query needs a database", OWN, "database: shop → engine: presto"),
    (2, "wrong: engine: 'oracle' is not an allowed value", OWN, "database: shop → database: shop, engine: oracle"),
    (
        5,
        "columns: the query of this task (columns: name varchar) cannot be exported",
        OWN,
        "queries/people.sql → SELECT name FROM ${table}",
    ),
    # Opt-outs and consents.
    (12, "value: suppress: there is no file queries/none.sql", OWN, f"{_ID} → {_ID}    suppress: queries/none.sql\n"),
    (12, "value: suppress: is blank", OWN, f"{_ID} → {_ID}    suppress: ''\n"),
    (
        2,
        "value: dry_run is blank here",
        OWN,
        "_export:\n → _export:\n  result_settings: {dry_run: ''}\n",
        f"{_ID} → {_ID}    dry_run: false\n",
    ),
    (2, "value: consent: is blank", OWN, f"{_ID} → {_ID}    consent: ${{l}}\n", "_export:\n → _export:\n  l: ''\n"),
    (12, "unknown: supress: is unknown; did you mean suppress?", OWN, f"{_ID} → {_ID}    supress: queries/none.sql\n"),
    (12, "wrong: suppress has several statements", OWN, f"{_ID} → {_ID}    suppress: queries/two.sql\n"),
    (12, "columns: the query of suppress (columns: id varchar)", OWN, f"{_ID} → {_ID}    suppress: SELECT id FROM a\n"),
    (5, "columns: `suppress` selects maid, but the people's", OWN, f"{_ID} → {_ID}    suppress: SELECT maid FROM a\n"),
    (5, "misplaced: suppress next to result_settings", OWN, "  query →   suppress: queries/suppressed.sql\n  query"),
    (6, "misplaced: suppress and consent next to", OWN, "  query →   suppress: a.sql\n  consent: b.sql\n  query"),
    (
        2,
        "misplaced: consent next to result_settings",
        OWN,
        "_export:\n → _export:\n  consent: queries/suppressed.sql\n",
    ),
    (
        4,
        "misplaced: a run does not read suppress here: move it into result_settings, or leave it out",
        ERASE,
        "  query →   suppress: queries/suppressed.sql\n  query",
    ),
    (
        5,
        "misplaced: suppress next to result_settings",
        OWN,
        "  query →   suppress: queries/suppressed.sql\n  query",
        f"{_ID} → {_ID}    suppress: queries/suppressed.sql\n",
    ),
    # Lists of audiences, and activations.
    (4, "unknown: ad_acount_id: is unknown; did you mean ad_account_id?", MANY, "ad_account_id → ad_acount_id"),
    (5, "missing: ad_account_id", MANY, "name: new, ad_account_id: '1' → name: new"),
    (4, "wrong: entry vip has client_secret: credentials", MANY, "name: vip → name: vip, client_secret: a"),
    (3, "wrong: entry 2 of `audiences` has the name of another", MANY, "name: new → name: vip"),
    (3, "wrong: `audiences` is the name of a file", MANY, f"{_LIST} →   audiences: config/audiences.yml\n"),
    (3, "missing: ad_account_id", MANY, f"{_LIST} →   audiences: '[{{name: a, audience_id: 7}}]'\n"),
    (7, "wrong: there is no list `audiences`", MANY, "  audiences:\n →   audience:\n"),
    (8, "wrong: at_once: 64", MANY, "at_once: 4 → at_once: 64"),
    (9, "unknown: ignore_invalid: is unknown", MANY, "{type → {ignore_invalid: true, type"),
    (4, "value: query: there is no file no.sql", MANY, "SELECT email FROM a → no.sql"),
    (
        9,
        "wrong: later_runs: add contradicts action",
        ACTIVATION,
        "    type →     action: replace_current_audience\n    type",
    ),
    (9, "value: min_records: 'ten'", ACTIVATION, "    type →     min_records: ten\n    type"),
    # What no run can see, or says too late.
    (2, "yaml: there is a tab here", "a: b\n\tc: d\n"),
    (2, "yaml: this is not valid YAML", "a: [b\n"),
    ("config/broken.yml:2", "yaml: there is a tab", OWN, "_export:\n → _export:\n  !include : config/broken.yml\n"),
    (
        4,
        "class: there is no class td_pinterest_op.export.PinterestExprt; an",
        OWN,
        "PinterestExport → PinterestExprt",
    ),
    (15, "plain-secret: PINTEREST_CLIENT_SECRET is in plain text here", OWN, f"{_SECRET} → s3cr3t"),
    (12, "plain-secret: client_secret is in plain text here", OWN, f"{_ID} → {_ID}    client_secret: s3cr3t\n"),
    (11, "unquoted-id: a number of more than 15 digits", OWN, '"2542620905475" → 25426209054752542'),
    (2, "unquoted-id: a number of more than 15 digits", OWN, *_TARGET, "'7' → 25426209054752542"),
    (5, "misplaced: a run does not read dry_run here", OWN, "  query →   dry_run: true\n  query"),
    (8, "misplaced: a run does not read control here", MANY, "  at_once →   control: {percent: 5, salt: a}\n  at_once"),
    (4, "misplaced: td> does not read suppress", CONNECTOR.partition("  result_")[0] + "  suppress: a.sql\n"),
    (
        2,
        "for-this-run: settings_for_this_run is for one run",
        OWN,
        "_export:\n → _export:\n  settings_for_this_run: {dry_run: true}\n",
    ),
    (5, "built-in-connector: this exports with Treasure Data's built-in", CONNECTOR),
    (
        4,
        "built-in-connector: this exports",
        CONNECTOR,
        "  result_connection: my_pinterest\n → ",
        "{ad_ → {type: Pinterest, ad_",
    ),
    (5, "plain-secret: refresh_token is in plain text", CONNECTOR, "{ad_ → {refresh_token: a, ad_"),
    # Warnings.
    (
        12,
        "unused: add_people_to_current_audience does not use these settings: audience_name",
        OWN,
        f"{_ID} → {_ID}    audience_name: a\n",
    ),
    (11, "digits: digdag may have changed the last digits", OWN, '"2542620905475" → "549755885175000000"'),
    (11, "undefined: nothing in this workflow defines target.id:", OWN, _TARGET[0]),
    (12, "undefined: nothing in this workflow defines target.idd:", OWN, *_TARGET, "target.id} → target.idd}"),
    (4, "undefined: nothing in this workflow defines who:", MANY, "'2' → '${who}'"),
    ("td_pinterest_op/__init__.py:1", "version: this is version 0.3.2 of the operator", OWN),
]
FILES = {
    "config/export.yml": _YAML,
    "config/wrong.yml": f"{_YAML}min_records: ten\n",
    "config/broken.yml": "a: b\n\tc: d\n",
    "td_pinterest_op/__init__.py": '__version__ = "0.3.2"\n',
}


@pytest.mark.parametrize("row", WRONG)
def test_what_is_wrong_is_found_at_its_line(tmp_path: Path, row: tuple[Any, ...]) -> None:
    line, said, text, *changes = row
    place = f"export.dig:{line}" if isinstance(line, int) else line
    found = found_in(tmp_path, plant(text, *changes), FILES)
    assert [each for each in found if each.startswith(f"{place}: {said}")] != [], found


def test_of_settings_that_are_no_mapping_nothing_else_is_said(tmp_path: Path) -> None:
    (found,) = found_in(tmp_path, plant(OWN, f"{_SETTINGS} →   result_settings: '{{type pinterest: a'\n"))
    assert found.startswith("export.dig:6: wrong: result_settings: a string of 18 characters is neither valid JSON")


_ALERT = "_error:\n  slack>: message.txt\n  suppress_errors: true\n"
_TEXT = (
    '{"type": "pinterest", "ad_account_id": "1", "audience_type": "customer_list", "action": "clear_current_audience", '
    '"audience_id": "${id}"}'
)
RIGHT: list[str] = [
    *("+a:", OWN, MANY, ACTIVATION, ERASE, STATUS, _LOOP, _LIFT, _SHARED),
    # What is the user's own, however it is named.
    plant(OWN, "_export:\n → _export:\n  consent_version: 3\n  suppressed_table: crm.opt_outs\n  querry: a\n"),
    plant(OWN, "  query →   consent_version: 3\n  suppression: a.sql\n  control_group: 5\n  query"),
    plant(OWN, "_export:\n → _export:\n  min_records: 5\n  dry_run: true\n  control: {percent: 5}\n"),
    plant(OWN, "_export:\n → _export:\n  seed: 12345678901234567\n"),
    f"{OWN}+b:\n  sh>: clean.sh\n  _env: {{SUPPRESS_WARNINGS: '1', DRY_RUN: 'true'}}\n  suppress: 1\n",
    f"{OWN}+b:\n  py>: shop.Consent\n  consent: asked\n  dry_run: true\n",
    f"{OWN}+b:\n  py>: td_pinterest_ops.export.PinterestExport\n",
    f"{OWN}{_ALERT}",
    f"{OWN}+b:\n  echo>: ${{pinterest.records.snt}} ${{nobody.knows}}\n",
    f"{OWN}+b:\n  td>: other.sql\n  result_connection: s3\n  result_settings: {{bucket: a, type: s3}}\n",
    f"{OWN}+b:\n  td>: other.sql\n  suppress_warnings: true\n  opt_out_table: a\n  secret_word: abc\n",
    f"{OWN}+b:\n  http>: https://shop.example/\n  refresh_token: public\n",
    f"{OWN}+b:\n  call>: pinterest_other.dig\n  audience: ${{unknown}}\n",
    f"{OWN}+b:\n  mail>: {{data: done}}\n  to: [you@example.com]\n",
    f"unknown_key: 1\ntask:\n  echo>: a\n{OWN}",
    # Variables.
    plant(OWN, "${secret:td.apikey} → ${key}", "_export:\n → _export:\n  key: ${secret:td.apikey}\n"),
    plant(OWN, "queries/people.sql → ${a}${b}/${c}.sql", "_export:\n → _export:\n  a: queries\n  b:\n  c: people\n"),
    plant(OWN, *_TARGET),
    plant(OWN, "queries/people.sql → ${file}", "_export:\n → _export:\n  file: queries/${name}.sql\n  name: people\n"),
    plant(OWN, f"{_ID} → {_ID}    report: of ${{audience_id}}.html\n"),
    plant(
        OWN,
        _SETTINGS.partition("\n")[2] + " →     <<: *shared\n",
        f"_export: → x: &shared {{{_YAML.strip().replace(chr(10), ', ')}}}\n_export:",
    ),
    plant(
        OWN,
        f"{_SETTINGS} →   result_settings: ${{settings}}\n",
        "_export:\n → _export:\n  settings: {!include : config/export.yml}\n",
    ),
    plant(OWN, f"{_SETTINGS} →   result_settings: '{_TEXT}'\n", "_export:\n → _export:\n  id: '7'\n"),
    plant(OWN, *_CREATE),
    plant(OWN, '"2542620905475" → "${session_unixtime}"'),
    plant(OWN, '"2542620905475" → "${last ? last.id : 7}"', "_export:\n → _export:\n  last: {a: 1}\n"),
    plant(OWN, '"2542620905475" → ${found.id}') + "+b:\n  py>: shop.find\n",
    plant(OWN, '"2542620905475" → ${td.last_results.id}', "add_people_to_current_audience → ${td.last_results.action}"),
    plant(OWN, f"{_ID} →     audience_name: costs 5$$\n", "add_people_to_current_audience → create_new_audience"),
    plant(OWN, f"{_SETTINGS} →   result_settings: ${{td.last_results.settings}}\n"),
    plant(
        OWN,
        f"{_ID} → {_ID}    columns: {{a: '${{session_id}}'}}\n    control: {{percent: '${{session_id}}', salt: a}}\n",
    ),
    plant(OWN, "queries/people.sql → SELECT ${td.last_results.column} FROM people"),
    plant(OWN, "queries/people.sql → queries/${session_date}.sql", "database: shop → database: '${session_id}'"),
    plant(OWN, f"  {_QUERY} →   job_id: ${{td.last_job_id}}"),
    plant(OWN, f"  {_QUERY}\n → ", "+export: → +query: {td>: other.sql}\n+export:"),
    plant(OWN, "queries/people.sql → >-\n    SELECT email\n    FROM a;", "PinterestExport → PinterestExport.run"),
    plant(MANY, f"{_LIST} → ", "  at_once →   audiences: ${td.last_results.audiences}\n  at_once"),
    plant(MANY, f"- {ENTRY} → - ${{td.last_results.entry}}"),
    plant(MANY, "'2' → '${session_id}'", "name: vip → name: '${session_id}'"),
    plant(ACTIVATION, "later_runs: add → later_runs: ${td.last_results.later}"),
    plant(ACTIVATION, "    type →     audience_name: VIP ${segment_name}\n    type"),
    # Opt-outs and consents.
    plant(OWN, f"{_ID} → {_ID}    suppress: queries/suppressed.sql\n    consent: SELECT maid, email FROM a\n"),
    plant(OWN, f"{_ID} → {_ID}    suppress: queries/${{session_date}}.sql\n    consent: ${{td.last_results.sql}}\n"),
    plant(
        MANY,
        "{type → {suppress: queries/suppressed.sql, type",
        "name: new, ad_account_id: '1', action: add → name: new, ad_account_id: '1', action: remove",
        "people_to_current_audience, audience_id: '3' → people_from_current_audience, audience_id: '3'",
    ),
    # Secrets.
    plant(OWN, f"{_SECRET} → ${{secret:marketing}}"),
    plant(
        OWN,
        f"{_ID} → {_ID}    client_secret: ${{secret:de.key}}\n",
        "    TD_API_KEY →     DE_KEY: ${secret:de.key}\n    TD_API_KEY",
    ),
    plant(OWN, f"{_ID} → {_ID}    client_secret: ''\n    client_id: '123'\n"),
]


@pytest.mark.parametrize("text", RIGHT)
def test_of_a_right_project_nothing_is_said(tmp_path: Path, text: str) -> None:
    assert found_in(tmp_path, text, {"config/export.yml": _YAML}) == []


@pytest.mark.parametrize("content", ["", "# nothing yet\n", "- audience_name: Shoppers\n", "text\n"])
def test_an_included_file_without_settings_is_the_only_finding(tmp_path: Path, content: str) -> None:
    text = (
        "+export:\n  py>: td_pinterest_op.export.PinterestExport\n  result_settings: {!include : config/export.yml}\n"
    )
    (found,) = found_in(tmp_path, text, {"config/export.yml": content})
    assert found.startswith("config/export.yml:1: yaml: the file has no line such as `name: value`")


def test_a_file_in_a_folder_that_does_not_exist_is_a_finding(tmp_path: Path) -> None:
    (finding,) = rules.check_workflow(tmp_path / "no" / "x.dig")[0].findings
    assert finding.message.endswith("cannot be read: No such file or directory")
