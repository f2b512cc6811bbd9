"""`td-pinterest check` finds what is wrong about our operator in a folder, with line and advice, and nothing else."""

from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest

from tests.unit.cli.lint.samples import ACTIVATION, ENTRY, ENV, ERASE, GOOD, MANY, OWN, STATUS, found_in, plant

_ID = 'audience_id: "2542620905475"\n'
_QUERY = "query: SELECT email FROM people"
_CREATE = "action: add_people_to_current_audience\n    audience_id → action: create_new_audience\n    audience_name"
_REPLACE = "add_people_to_current → replace_current"
_DAILY = "_export: → schedule: {daily>: 07:00:00}\n_export:"
_SECRET = "${secret:pinterest.client_secret}"
_SUPPRESS = "    suppress: queries/suppressed.sql\n"
_PINS = (
    "{type: pinterest, audience_type: customer_list, ad_account_id: '1', audience_id: '2', min_records: 1, "
    "action: add_people_to_current_audience}"
)
_BY = "    control: {percent: 10, salt: a, by: "
_FAILED = "+failed: {py>: td_pinterest_op.history.Failed, _env: {TD_API_KEY: '${secret:td.apikey}'}}\n"
# A configuration with an audience's name, but without its id.
_NAMED = (
    '"2542620905475" → ${target.id}\n    expected_audience_name: ${target.name}',
    "_export: → _export:\n  target: {id: '', name: Shoppers}",
)
_SETTINGS = GOOD[GOOD.index("  result_settings") : GOOD.index("  _env")]
_NEW = "name: new, ad_account_id: '1', action: "
_TARGET = ('"2542620905475" → ${target.audience_id}', "_export: → _export:\n  target: {audience_id: '7'}")

_LIST = MANY[MANY.index("  audiences") : MANY.index("+export")]
# The entries are those of a loop elsewhere.
UNKNOWN = plant(
    MANY,
    f"{_LIST} → ",
    "  at_once →   audiences: ${group}\n  at_once",
)
LOOP = """\
_export:
  td: {database: shop}
+all:
  for_each>:
    banner:
    - {id: "2", percent: 5}
    - {id: "3", percent: 10}
  _do:
    +export:
      py>: td_pinterest_op.export.PinterestExport
      query: SELECT email FROM people WHERE share = ${banner.percent}
      result_settings:
        type: pinterest
        audience_type: customer_list
        ad_account_id: "1"
        action: add_people_to_current_audience
        audience_id: ${banner.id}
""" + indent(ENV, "    ")

PARALLEL = "_export: {td: {database: shop}}\n+all:\n  _parallel: true\n  +query: {td>: queries/people.sql}\n" + indent(
    plant(OWN[OWN.index("+export") :], f"{_SUPPRESS} → ", "  query: SELECT email FROM people\n → "), "  "
)

LIFT = f"+b:\n  py>: td_pinterest_op.history.Lift\n{ENV}"

# The line of a finding, a part of its message, and a workflow with changes to it.
WRONG: list[tuple[Any, ...]] = [
    (12, "suppress: is blank", OWN, "suppress: queries/suppressed.sql → suppress: ''"),
    (12, "suppress: remove_people_from_current_audience cannot apply", OWN, "add_people_to → remove_people_from"),
    (6, "move the line into result_settings", OWN, f"{_SUPPRESS} → ", f"  result → {_SUPPRESS[2:]}  result"),
    (12, "suppress is also consent", OWN, f"{_SUPPRESS} → {_SUPPRESS}{_SUPPRESS.replace('suppress:', 'consent:')}"),
    # Opt-outs and consents that nobody reads.
    (12, "did you mean suppress", OWN, "suppress: → suppress_list:"),
    (12, "did you mean suppress", OWN, "suppress: → supress:"),
    (12, "did you mean consent", OWN, "suppress: → consents:"),
    (12, "did you mean suppress", OWN, "suppress: → _suppress:"),
    (12, "and audience_id to the right", GOOD, f"{_SETTINGS} → {_SETTINGS.replace('    ', '  ')}"),
    (19, "history: ${history}", OWN, f"{_ID} → {_ID}    history: shop.runs\n", f"{ENV} → {ENV}{_FAILED}"),
    (2, "but not its id", OWN, *_NAMED),
    (5, "TD_API_SERVER must be", STATUS, "    TD_API_KEY: →     TD_API_SERVER: http://td.example\n    TD_API_KEY:"),
    (12, "must be SQL", OWN, "suppress: queries/suppressed.sql → suppress: {query: a.sql}"),
    (12, "must be SQL", OWN, "suppress: queries/suppressed.sql → suppress: crm.opt_outs"),
    (2, "suppress: ${l.a} is blank", OWN, "queries/suppressed.sql → ${l.a}", "  td: →   l: {a: ''}\n  td:"),
    (7, "did you mean nr?", OWN, "SELECT email → SELECT email, nr", f"    type: → {_BY}nrs}}\n    type:"),
    (12, "no file queries/none.sql", OWN, "queries/suppressed → queries/none"),
    (12, "outside the project", OWN, "queries/suppressed → ../suppressed"),
    (12, "suppress", OWN, "queries/suppressed.sql → SELECT maid FROM opt_outs"),
    (12, "no column email, maid or idfa", OWN, "queries/suppressed.sql → SELECT customer_id FROM opt_outs"),
    (12, "several statements", OWN, "queries/suppressed.sql → SELECT email FROM a; SELECT email FROM b"),
    (1, "the list would match nobody", OWN, "SELECT email → SELECT maid"),  # in the list's file
    (4, "no file no.sql", MANY, "SELECT email FROM a → SELECT email FROM a, suppress: no.sql"),
    (4, "supress", MANY, "SELECT email FROM a → SELECT email FROM a, supress: no.sql"),
    (7, "which `control` names: select it", OWN, f"    type: → {_BY}id}}\n    type:"),
    (12, "did you mean suppress", OWN, "suppress: → Suppress:"),
    (12, "queries/comments.sql has no query", OWN, "suppressed.sql → comments.sql"),
    # Secrets.
    (11, "the task has no `_env`", GOOD, f"{ENV} → "),
    (1, "move it to the task that exports", GOOD, f"{ENV} → ", f"timezone → {dedent(ENV)}timezone"),
    (
        18,
        "remove the dashes",
        GOOD,
        "  _env:\n    TD_API_KEY: → " + "  _env:\n  - TD_API_KEY: ",
        "    PINTEREST_CLIENT_ID: →   - PINTEREST_CLIENT_ID: ",
        "    PINTEREST_CLIENT_SECRET: →   - PINTEREST_CLIENT_SECRET: ",
        "    PINTEREST_REFRESH_TOKEN: →   - PINTEREST_REFRESH_TOKEN: ",
    ),
    (21, "write ${secret:pinterest.client_secret}", GOOD, f"{_SECRET} → $(secret:pinterest.client_secret)"),
    (5, "move the td> task before it", OWN, "  query: SELECT email FROM people →   job_id: ${td.last_job_id}"),
    (11, "td has no key last_jobid; did you mean last_job_id?", GOOD, "  py>: →   job_id: ${td.last_jobid}\n  py>:"),
    (3, "has a key `audiences` itself", MANY, f"{_LIST} →   audiences: {{audiences: [{{name: a}}]}}\n"),
    (3, "is a list of lists", MANY, f"{_LIST} →   audiences: [[{{name: a}}]]\n"),
    (18, "move it to the left", GOOD, f"{ENV} → {indent(ENV, '  ')}"),
    (18, "TD_API_KEY", GOOD, "    TD_API_KEY: ${secret:td.apikey}\n → "),
    (5, "did you mean it by TD_APIKEY", STATUS, "TD_API_KEY: → TD_APIKEY:", "fail_on: → history: shop.runs, fail_on:"),
    (18, "PINTEREST_CLIENT_ID", GOOD, "    PINTEREST_CLIENT_ID: ${secret:pinterest.client_id}\n → "),
    (20, "did you mean it by PINTREST_CLIENT_ID", GOOD, "PINTEREST_CLIENT_ID: → PINTREST_CLIENT_ID:"),
    (19, "did you mean it by TD_APIKEY", GOOD, "TD_API_KEY: → TD_APIKEY:"),
    (22, "which is by its name the TD_API_KEY", GOOD, "${secret:pinterest.refresh_token} → ${secret:td.apikey}"),
    (20, "PINTEREST_CLIENT_SECRET", GOOD, "pinterest.client_id} → pinterest.client_secret}"),
    (21, "PINTEREST_CLIENT_ID", GOOD, f"{_SECRET} → ${{secret:pinterest_de.client_id}}"),
    (21, "did you mean pinterest.client_secret", GOOD, f"{_SECRET} → ${{secret:pinterest.client_secrt}}"),
    (21, "did you mean pinterest.client_secret", GOOD, f"{_SECRET} → ${{secret:pintrest.client_secret}}"),
    (22, "did you mean pinterest.refresh_token", GOOD, "pinterest.refresh_token} → pinterest.refreshToken}"),
    (22, "did you mean pinterest.refresh_token", GOOD, "pinterest.refresh_token} → pinterest.refresh_tokens}"),
    (19, "did you mean td.apikey", GOOD, "td.apikey} → td.api_key}"),
    (4, "move it to the task", GOOD, f"{ENV} → ", f"_export:\n → _export:\n{ENV}"),
    (22, "by its name the access token", GOOD, "pinterest.refresh_token} → pinterest_de.access_token}"),
    (19, "write ${secret:td.apikey}", GOOD, "${secret:td.apikey} → ${secrets:td.apikey}"),
    (19, "write ${secret:td.apikey}", GOOD, "${secret:td.apikey} → ${td.apikey}"),
    (21, "write ${secret:pinterest.client_secret}", GOOD, f"{_SECRET} → ${{env.PINTEREST_CLIENT_SECRET}}"),
    (19, "write ${secret:td.apikey}", GOOD, "${secret:td.apikey} → ${{secret:td.apikey}}"),
    (19, "write ${secret:td.apikey}", GOOD, "${secret:td.apikey} → ${SECRET:td.apikey}"),
    (21, "in plain text", GOOD, f"{_SECRET} → s3cr3t"),
    (14, "in plain text", GOOD, "type: pinterest\n → type: pinterest\n    client_secret: s3cr3t\n"),
    (
        14,
        "PINTEREST_DE_CLIENT_ID",
        GOOD,
        "type: pinterest\n → type: pinterest\n    client_id: ${secret:pinterest_de.client_id}\n",
    ),
    (2, "TD_API_KEY", "+a:\n  py>: td_pinterest_op.history.Failed\n"),
    (2, "lift.percent must be", f"_export:\n  lift: {{percent: ten}}\n+a:\n  py>: td_pinterest_op.history.Lift\n{ENV}"),
    (4, "PINTEREST_CLIENT_ID", STATUS, "    PINTEREST_CLIENT_ID: ${secret:pinterest.client_id}\n → "),
    (14, "secret", GOOD, "type: pinterest\n → type: pinterest\n    audience_description: ${secret:td.apikey}\n"),
    # Settings.
    (12, "audience_type: missing", GOOD, "    audience_type: customer_list\n → "),
    (16, "is unknown; did you mean action", GOOD, "action: add → acton: add"),
    (17, "audience_id", GOOD, f'{_ID} → audience_id: ""\n'),
    (18, "cannot apply", GOOD, f"{_ID} → {_ID}    max_leave_ratio: 0.5\n"),
    (18, "dry_run", GOOD, f"{_ID} → {_ID}    dry_run: ''\n"),
    (18, "dry_run", GOOD, f"{_ID} → {_ID}    dry_run: perhaps\n"),
    (18, "belongs on the task", GOOD, f"{_ID} → {_ID}    query: SELECT 1\n"),
    (18, "placeholder", GOOD, f"{_ID} → {_ID}    expected_audience_name: the name of that audience\n"),
    (4, "pass it with -p", GOOD, "_export:\n → _export:\n  settings_for_this_run: {dry_run: true}\n"),
    (11, "pass it with -p", GOOD, "  py>: →   settings_for_this_run: {dry_run: true}\n  py>:"),
    (10, "type: missing", GOOD, f"{_SETTINGS} → "),
    (11, "did you mean td_pinterest_op.export.PinterestExport?", GOOD, "PinterestExport → PinterestExprt"),
    (11, "did you mean td_pinterest_op.export.Pin", GOOD, "td_pinterest_op.export → td_pintrest_op.export"),
    (11, "is not an operator", GOOD, "export.PinterestExport → exports.Everything"),
    (11, "from the second scheduled run on", OWN, _CREATE, _DAILY),
    (11, "or run it by hand", OWN, _REPLACE, _DAILY),
    (
        5,
        "second",
        MANY,
        _DAILY,
        "add_people_to_current_audience, audience_id: '2' → create_new_audience, audience_name: a",
    ),
    # Lists of audiences.
    (
        5,
        "an earlier entry",
        MANY,
        "'3' → '2'",
        "add_people_to_current_audience, audience_id: '2' → replace_current_audience, audience_id: '2'",
    ),
    (5, "an earlier entry", MANY, "'3' → '2'", f"{_NEW}add_people_to → {_NEW}mirror"),
    (5, "vip", MANY, "name: new → name: vip"),
    (3, "the name of another", MANY, f"{_LIST} →   audiences: '[{{name: a}}, {{name: a}}]'\n"),
    (3, "include the file", MANY, f"{_LIST} →   audiences: config/audiences.yml\n"),
    (3, "Begin each entry with a dash", MANY, f"{_LIST} →   audiences: {{vip: {{audience_id: 1}}}}\n"),
    (
        19,
        "add `TD_API_SERVER: https://api.eu01",
        GOOD,
        "    database: shop →     database: shop\n    endpoint: api.eu01",
    ),
    (4, "ad_acount_id", MANY, "ad_account_id → ad_acount_id"),
    (5, "entry new: ad_account_id", MANY, "name: new, ad_account_id: '1' → name: new"),
    (4, "query of the task is blank", MANY, "SELECT email FROM a} → ''}"),
    (4, "both job_id and query", MANY, "SELECT email FROM a} → SELECT email FROM a, job_id: 7}"),
    (4, "no column email", MANY, "SELECT email FROM a} → SELECT name FROM a}"),
    (3, "entry 1", MANY, f"- {ENTRY} → - vip"),
    (7, "audiences", MANY, "_export:\n  td → _export:\n  audience_list: []\n  td", "  audiences:\n →   audience:\n"),
    (9, "belongs on the task", ACTIVATION, "    type →     later_runs: add\n    type"),
    (3, "is a placeholder", OWN, "  td: {database: shop} →   td:\n    database: your_database"),
    # Values of a loop.
    (7, "requests_per_minute", UNKNOWN, "{type → {requests_per_minute: 0, type"),
    (7, "ignore_invalid_", UNKNOWN, "{type → {ignore_invalid: true, type"),
    (6, "at_once", UNKNOWN, "at_once: 4 → at_once: 64"),
    (7, "in quotes", LOOP, 'id: "3" → id: 25426209054752542'),
    (7, "must be an id", LOOP, 'id: "3" → id: your_audience'),
    (17, "did you mean id", LOOP, "banner.id} → banner.idd}"),
    (
        6,
        "min_records",
        LOOP,
        "audience_id → min_records: ${banner.percent}\n        audience_id",
        "percent: 5 → percent: x",
    ),
    (9, "later_runs: add contradicts action", ACTIVATION, "    type →     action: replace_current_audience\n    type"),
    (3, "fail_on", STATUS, "fail_on: TOO_SMALL → fail_on: TO_SMALL"),
    (3, "max_drop: is unknown; did you mean max_drop_ratio", STATUS, "fail_on: TOO_SMALL → max_drop: 0.5"),
    (5, "ad_account_ids", ERASE, '"1, 2" → "one"'),
    (8, "at_once", MANY, "at_once: 4 → at_once: 0"),
    (
        12,
        "write the query's column first, and the type after it, such as {my_column: email}",
        OWN,
        f"{_ID} → {_ID}    columns: {{email: mail}}\n",
    ),
    (5, "hashed by md5, but", OWN, "SELECT email → SELECT lower(to_hex(md5(to_utf8(email)))) AS email"),
    (5, "give it a name in the query, such as `AS email`", OWN, "SELECT email → SELECT lower(email)"),
    (4, "for_each>", MANY, "name: vip → name: vip, client_secret: a"),
    # Queries.
    (5, "query of the task is blank", OWN, f"{_QUERY} → query: ''"),
    (5, "no file queries/none.sql", OWN, f"{_QUERY} → query: queries/none.sql"),
    (3, "only with records: rows", ERASE, "queries/people.sql → queries/phones.sql"),
    (11, "rename audience_id_add_people", OWN, _REPLACE, "audience_id: → audience_id_add_people:"),
    (5, "is not an identifier", OWN, f"{_QUERY} → query: SELECT customer_id, name FROM people"),
    (4, "needs a database", OWN, "database: shop → engine: presto"),
    (5, "is not closed", OWN, "FROM people → FROM ${td.table"),
    (10, "needs `query`", OWN, "add_people_to → mirror", f"{_QUERY} → job_id: '12'"),
    (9, "no job to export", GOOD, "+query:\n  td>: queries/people.sql\n → "),
    (8, "no file queries/none.sql", GOOD, "queries/people.sql → queries/none.sql"),
    (1, "queries/two.sql has several statements", GOOD, "queries/people.sql → queries/two.sql"),
    (8, "no file SELECT email", GOOD, f"queries/people.sql → SELECT email FROM {'a' * 300}"),
    (10, "is not an identifier", GOOD, "queries/people.sql → {data: SELECT id FROM people}"),
    (8, "needs a database", GOOD, "    database: shop\n →     engine: presto\n"),
    (11, "no job to export", GOOD, "  td>: queries/people.sql →   echo>: hello"),
    (12, "which writes a table", GOOD, "queries/people.sql → {data: 'SELECT email FROM people'}\n  insert_into: a"),
    (13, "dry_run is a setting of its own", OWN, f"{_ID} → {_ID}    columns:\n      dry_run: true\n"),
    (12, "names a secret of the workflow", OWN, f"{_ID} → {_ID}    history: '${{secret:a}}${{x}}'\n"),
    (5, "wrap it in to_hex", OWN, "SELECT email → SELECT sha256(to_utf8(email)) AS email"),
    (
        2,
        "write `FROM activation_actions_table`",
        ACTIVATION,
        "SELECT email FROM activation_actions_table → queries/actions.sql",
    ),
    (
        8,
        "every run replaces all people",
        OWN,
        "add_people_to → mirror",
        _DAILY,
        "    type →     rebuild: true\n    type",
    ),
    (5, "for several use ad_account_ids", ERASE, "ad_account_ids: \"1, 2\" → ad_account_id: ['1', '2']"),
    # The rest.
    (19, "with blanks around the colon", GOOD, f"{ENV} →   _env:\n    !include: queries/env.yml\n"),
    (2, "'10%' is not", OWN, "_export:\n → _export:\n  most: 10%\n", "type: pinterest → max_invalid_ratio: ${most}"),
    (11, "must be an id", OWN, f"{_ID} → audience_id: {{a: 1}}\n"),
    (17, "banner is a mapping, not an id: write ${banner.id}", LOOP, "${banner.id} → ${banner}"),
    (17, "in quotes", GOOD, '"2542620905475" → 25426209054752542'),
    (4, "does not exist", GOOD, "_export:\n → _export:\n  !include : none.yml\n"),
    (12, "image", GOOD, "_export:\n → _export:\n  docker: {memory: 1g}\n"),
    (12, "image", GOOD, "_export:\n → docker: {image: a}\n_export:\n"),
    (14, "image", GOOD, "+query: → +other:\n  py>: a.b\n  docker: {image: python}\n+query:"),
    (
        2,
        "one with percent 5 and salt a",
        plant(OWN, f"{_SUPPRESS} → {_SUPPRESS}", "    type: →     control: {percent: 5, salt: a}\n    type:")
        + f"+a:\n  td>: queries/people.sql\n  store_last_results: true\n{LIFT}",
        "  td: →   lift: {percent: 5, salt: b}\n  td:",
    ),
    (1, "there is no mapping `lift`", f"+a:\n  py>: td_pinterest_op.history.Lift\n{ENV}"),
    (2, "counts are missing", f"+a:\n  td>: a\n+b:\n  py>: td_pinterest_op.history.Lift\n{ENV}"),
    (1, "did you mean pinterest.records.sent", GOOD, "queries/people.sql → queries/figures.sql"),
    (7, "stored by a later task", GOOD, "+query:\n → +a: {echo>: '${pinterest.records.sent}'}\n\n+query:\n"),
    (18, "there is no key id; did you mean audience_id?", GOOD, *_TARGET, "${target.audience_id} → ${target.id}"),
    (
        10,
        "there are unique, duplicate, sent",
        GOOD,
        "+export: → +b: {echo>: '${pinterest.records.skipped}'}\n\n+export:",
    ),
    (9, "there is no figure ready; there are audiences", f"{STATUS}+b: {{echo>: '${{pinterest_status.ready}}'}}\n"),
    (
        10,
        "or pinterest.rows.invalid",
        GOOD,
        "+export: → +b: {echo>: '${pinterest.records.invalid}'}\n\n+export:",
    ),
    (15, "the tasks store `pinterest_many`", f"{MANY}+b: {{echo>: '${{pinterest.records.sent}}'}}\n"),
    (10, "mean pinterest.records", GOOD, "+export: → +b: {echo>: '${pinterest.record.sent}'}\n\n+export:"),
    (6, "runs at the same time as this task", PARALLEL),
    (
        15,
        "did you mean pinterest_many.vip.statistics.records.sent",
        f"{MANY}+b: {{echo>: '${{pinterest_many.vip.records.sent}}'}}\n",
    ),
    (15, "audiences is a list, and has no key id", f"{MANY}+b: {{echo>: '${{audiences.id}}'}}\n"),
    (
        10,
        "did you mean pinterest.records.sent",
        GOOD,
        "+export: → +b: {echo>: '${pinterest.records.snt + 1}'}\n\n+export:",
    ),
    (10, "did you mean pinterest.summary", GOOD, "+export: → +b: {echo>: \"${pinterest['summry']}\"}\n\n+export:"),
    (18, "did you mean audience_id", GOOD, *_TARGET, "${target.audience_id} → ${target.audience_idd}"),
    (18, "did you mean audience_id", GOOD, *_TARGET, "${target.audience_id} → ${target['audience-id']}"),
    (18, "did you mean audience_id", GOOD, *_TARGET, "${target.audience_id} → ${target['audienceid']}"),
    (18, "there is no key mirror", GOOD, *_TARGET, "${target.audience_id} → ${target.mirror.audience_id}"),
    (10, "real address", GOOD, "+export: → +b: {mail>: {data: a}, to: [you@example.com]}\n\n+export:"),
]


@pytest.mark.parametrize("row", WRONG)
def test_a_mistake_is_found_at_its_line_with_what_to_do(tmp_path: Path, row: tuple[Any, ...]) -> None:
    line, said, text, *changes = row
    found = found_in(tmp_path, plant(text, *changes))
    assert [each for each in found if each[0] == line and said in each[2]], found


_SECOND_APP = ENV.replace("pinterest.", "pinterest_de.").replace("PINTEREST_", "PINTEREST_DE_")
_AS_JSON = (
    '{"type": "pinterest", "ad_account_id": "1", "audience_type": "customer_list", "action": "clear_current_audience", '
    '"audience_id": "2"}'
)
_TAIL = "\n+after:\n  "
RIGHT: list[str] = [
    *(GOOD, OWN, MANY, ACTIVATION, ERASE, STATUS, UNKNOWN, LOOP),
    # What is the user's own, however it is named.
    plant(
        GOOD,
        "_export:\n → _export:\n  pinterest: {board: a}\n",
        "+export: → +b: {echo>: '${pinterest.board}'}\n+export:",
    ),
    plant(GOOD, "_export:\n → _export:\n  pinterest: {board: a}\n") + f"{_TAIL}echo>: ${{pinterest.records.sent}}\n",
    f"{GOOD}{_TAIL}echo>: ${{my.pinterest.people}} ${{pinterest_boards.count}}\n",
    f"{GOOD}{_TAIL}echo>: ${{pinterest.records.sent}} of ${{pinterest.rows.invalid_by_reason}}\n",
    f"{GOOD}{_TAIL}echo>: ${{pinterest.summary.replace(/x/g, 'y')}}\n",
    f"{GOOD}{_TAIL}echo>: \"${{typeof pinterest === 'undefined' ? 0 : pinterest.records.sent}}\"\n",
    f"{GOOD}{_TAIL}py>: td_pinterest_ops.export.PinterestExport\n",
    f"{GOOD}{_TAIL}py>: shop.PinterestExport\n  consent: asked\n",
    f"{GOOD}+own: {{py>: shop.Stats}}{_TAIL}echo>: ${{pinterest_stats.sent}}\n",
    f"{GOOD}{_TAIL}sh>: clean.sh\n  suppress: 1\n",
    plant(GOOD, f"{_SETTINGS} →   result_settings: ${{pins}}\n", f"_export:\n → _export:\n  pins: {_PINS}\n"),
    plant(OWN, f"{_QUERY} → query: 'queries/${{day.substr(0, 4) > 9 ? 1 : 2}}.sql'"),
    plant(GOOD, *_TARGET, "${target.audience_id} → ${target.audience || target.audience_id}"),
    plant(GOOD, *_TARGET) + "+b: {for_each>: {target: [{audience: 1}]}, _do: {echo>: '${target.audience}'}}\n",
    plant(GOOD, "_export:\n → _export:\n  databases: [a, b]\n  job_ids: [1, 2]\n"),
    plant(GOOD, "_export:\n → _export:\n  seed: 12345678901234567\n"),
    plant(GOOD, "timezone: UTC → timezone: ${zone}\nschedule: {daily>: noon}\nsla: {time: 02:00}"),
    plant(
        GOOD,
        "+query:\n → +query:\n  opt_out_table: a.b\n",
        "queries/people.sql → {data: 'SELECT email FROM ${opt_out_table}'}",
    ),
    f"{GOOD}{_TAIL}http>: https://shop.example/\n  headers: [{{a: '${{secret:pinterest_fr.refresh_tokn}}'}}]\n",
    f"{GOOD}{_TAIL}mail>: {{data: done}}\n  to: [ops@shop.example]\n",
    plant(
        GOOD,
        "  py>: →   label: a\n  py>:",
        "    type →     audience_description: of ${label}\n    type",
        "action: add_people_to_current_audience → action: create_new_audience",
        "audience_id:  → audience_name: ",
    ),
    plant(GOOD, f"{_ID} → {_ID}    min_records: 1_000\n    max_in_flight: 0x1F\n    max_records: 020000\n"),
    plant(OWN, _CREATE.replace("audience_name", "audience_name: a ${session_date}  # "), _DAILY),
    plant(OWN, f"{_QUERY} → query: SELECT DISTINCT(email) FROM people"),
    plant(GOOD, f"{_ID} → {_ID}    expected_audience_name: Your Home Magazine\n"),
    plant(OWN, _CREATE.replace("audience_name", "expected_audience_name: a $$5\n    audience_name: a $$5\n    #")),
    plant(
        OWN, 'SELECT email → \'SELECT email, "id$"', "FROM people → FROM people'", f"    type: → {_BY}id$$}}\n    type:"
    ),
    plant(OWN, _CREATE.replace("audience_name", "audience_name: <VIP>\n    audience_description: todo\n    #")),
    plant(
        MANY,
        f"{_NEW}add_people → {_NEW}remove_people",
        "{type: pinterest → {suppress: queries/suppressed.sql, type: pinterest",
    ),
    # Secrets.
    plant(GOOD, f"{ENV} → {_SECOND_APP.replace('PINTEREST_DE_', 'PINTEREST_')}"),
    plant(
        GOOD,
        f"{ENV} → {_SECOND_APP.replace('td.apikey', 'eu.td.apikey')}",
        "    type →     client_id: ${secret:pinterest_de.client_id}\n    type",
        "    type →     client_secret: ${secret:pinterest_de.client_secret}\n    type",
        "    type →     refresh_token: ${secret:pinterest_de.refresh_token}\n    type",
    ),
    plant(GOOD, f"{_SECRET} → ${{secret:marketing}}"),
    plant(PARALLEL, "  _parallel: true\n → "),
    plant(
        OWN,
        "SELECT email → SELECT to_hex(sha256(to_utf8(lower(email)))) AS email, md5(id) AS id",
        "    type: →     control: {percent: 5, salt: a, by: id}\n    type:",
    ),
    f"{MANY}+b: {{echo>: '${{pinterest_many[\"spring sale\"].statistics.summary}} ${{audiences.length}}'}}\n",
    plant(GOOD, "+query:\n → +query:\n  suppress_warnings: true\n"),
    plant(GOOD, "type: pinterest\n → type: pinterest\n    client_secret: ''\n"),
    plant(GOOD, f"{ENV} → {ENV}    TD_API_SERVER: https://api.eu01.treasuredata.com/\n    LEVEL: debug\n"),
    # What only a run knows.
    plant(
        GOOD,
        '"549755885175" → "${account || 1}"',
        '"2542620905475" → ${td.each.audience_id}',
        "add_people_to_current_audience → ${what}",
    ),
    plant(
        GOOD,
        f"{_SETTINGS} →   result_settings: ${{activation.settings}}\n",
    ),
    plant(
        OWN,
        f"{_QUERY} → query: 'SELECT ${{column}} FROM people'",
        "  query →   engine: ${engine}\n  database: ${where}\n  query",
        "queries/suppressed.sql → ${opt_outs}",
    ),
    plant(OWN, f"{_ID} → {_ID}    columns: {{mail: '${{kind}}'}}\n    control: {{percent: '${{share}}', salt: a}}\n"),
    plant(
        MANY, "'2' → '${vip}'", f"- {ENTRY.replace('vip', 'new').replace(chr(39) + '2', chr(39) + '3')} → - ${{entry}}"
    ),
    plant(MANY, "'2' → ''", "'3' → ''"),
    plant(ACTIVATION, "later_runs: add → later_runs: ${later}"),
    plant(
        ACTIVATION,
        "\n    type: pinterest →  ${result_connection_settings}",
        "\n    audience_type: customer_list\n    ad_account_id: ${target.account} → ",
    ),
    # Settings and rows of every form.
    plant(GOOD, f"{_SETTINGS} →   result_settings: '{_AS_JSON}'\n"),
    plant(GOOD, f"{_SETTINGS} →   result_settings: '{_AS_JSON}'\n", '"2"} → "${audience}"}'),
    plant(
        GOOD,
        "    audience_type →     <<: *common\n    audience_type",
        "_export: → x: &common {dry_run: true, history: runs}\n_export:",
    ),
    plant(GOOD, "td>: queries/people.sql → td>: queries/two.sql\n  engine: hive"),
    plant(GOOD, "td>: queries/people.sql → td>: queries/two.sql", "  td:\n →   td:\n    engine: hive\n"),
    plant(GOOD, "  py>: →   job_id: ${td.last_job_id}\n  py>:", "PinterestExport → PinterestExport.run"),
    plant(OWN, _CREATE, _DAILY, "    type →     if_exists: add\n    type"),
    plant(OWN, "add_people_to → mirror", "    type →     rebuild: true\n    type"),
    plant(
        OWN,
        "  query →   priority: 1\n  presto_pool_name: a\n  query",
        "suppress: queries/suppressed.sql → consent: SELECT maid, email FROM a",
    ),
    plant(
        OWN,
        f"{_QUERY} → query: 'WITH a AS (SELECT id FROM b) SELECT DISTINCT p.email AS \"Email\", maid FROM p; -- all'",
    ),
    plant(OWN, f"{_QUERY} → query: SELECT * FROM people", "queries/suppressed.sql → SELECT o.* FROM o"),
    plant(
        OWN,
        f"{_QUERY} → query: SELECT mail, id FROM people",
        f"{_ID} → {_ID}    columns: {{mail: email}}\n    control: {{percent: 10, salt: a, by: id}}\n",
    ),
    plant(
        OWN,
        f"{_QUERY} → query: SELECT phone, external_id FROM p",
        "queries/suppressed.sql → SELECT phone FROM a",
        f"{_ID} → {_ID}    records: rows\n",
    ),
    plant(
        MANY,
        "'3' → '2'",
        f"{_NEW}add_people_to → {_NEW}remove_people_from",
    ),
    plant(
        MANY,
        "'3' → '2'",
        f"{_NEW}add_people_to → {_NEW.replace('1', '7')}replace",
    ),
    plant(
        MANY,
        "{type: pinterest → {consent: queries/suppressed.sql, type: pinterest",
        "SELECT email FROM a → queries/people.sql",
    ),
    plant(
        ERASE,
        "\"1, 2\" → ['1', '2']",
        "queries/people.sql → SELECT mail FROM a\n  database: crm",
        "{ad → {columns: {mail: email}, ad",
    ),
    plant(GOOD, "  td:\n →   docker: {image: a}\n  td:\n"),
    "+others: {td>: {data: 'SELECT ${'}, suppress: 1, result_settings: {type: s3}}\n",
]


def test_a_called_workflow_has_the_schedule_and_the_variables_of_its_caller(tmp_path: Path) -> None:
    files = {"called.dig": plant(OWN, _CREATE, '"2542620905475" → ${name}', "suppressed.sql → ${list}.sql")}
    main = "schedule: {daily>: 07:00:00}\n_export: {name: a, list: suppressed}\n+a: {call>: called.dig}\n"
    assert [each[:2] for each in found_in(tmp_path, main, files)] == [(10, "create-scheduled")]
    main = plant(main, "schedule: {daily>: 07:00:00} → ", "list: suppressed → list: none")
    assert [each[:2] for each in found_in(tmp_path, main, files)] == [(12, "file")]


def test_a_called_workflow_reads_the_files_of_its_own_folder(tmp_path: Path) -> None:
    files = {"sub/called.dig": plant(GOOD, "queries/people.sql → q.sql"), "sub/q.sql": "SELECT email FROM a"}
    assert found_in(tmp_path, "+a: {call>: sub/called.dig}\n", files) == []
    assert found_in(tmp_path, "+a: {call>: sub/called.dig}\n+b: {td>: q.sql, database: shop}\n", files) != []


def test_a_folder_whose_name_ends_in_dig_is_no_workflow(tmp_path: Path) -> None:
    (found,) = found_in(tmp_path, LIFT, {"old.dig/notes.md": "", "a.dig": GOOD})[:1]
    assert found[1] == "setting"


@pytest.mark.parametrize("text", RIGHT)
def test_a_good_folder_has_no_finding(tmp_path: Path, text: str) -> None:
    files = {"td_pinterest_ops/__init__.py": "", "shop.py": "", "called.sql": ""}
    assert found_in(tmp_path, text, files) == []
