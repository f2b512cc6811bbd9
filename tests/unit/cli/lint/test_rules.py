"""`td-pinterest check` finds what is wrong about our operator in a folder, with line and advice, and nothing else."""

from pathlib import Path
from textwrap import indent

import pytest

from tests.unit.cli.lint.samples import ACTIVATION, ENTRY, ENV, ERASE, GOOD, MANY, OWN, STATUS, found_in, plant

_ACTION = "action: add_people_to_current_audience\n"
_ID = 'audience_id: "2542620905475"\n'
_QUERY = "query: SELECT email FROM people"
_CREATE = ("action: add_people_to_current_audience\n    audience_id", "action: create_new_audience\n    audience_name")
_REPLACE = ("add_people_to_current", "replace_current")
_DAILY = ("_export:", "schedule: {daily>: 07:00:00}\n_export:")
_HOURLY = ("_export:", "schedule: {hourly>: 30:00}\n_export:")
_SECRET = "${secret:pinterest.client_secret}"
_SUPPRESS = "  suppress: queries/suppressed.sql\n"
_OTHER = ("- {name: new", "- {name: other")

GROUP = "_export: {td: {database: shop}}\n+group:\n  +b: {echo>: a}\n  suppress: queries/suppressed.sql\n" + indent(
    plant(OWN[OWN.index("+export") :], (_SUPPRESS, "")), "  "
)

# The workflow, its changes, and the line of the finding with a part of its message.
WRONG: list[tuple[str, list[tuple[str, str]], int, str]] = [
    # Opt-outs and consents that nobody reads.
    (OWN, [("suppress:", "suppress_list:")], 6, "did you mean suppress"),
    (OWN, [("suppress:", "supress:")], 6, "did you mean suppress"),
    (OWN, [("suppress:", "supress_list:")], 6, "did you mean suppress"),
    (OWN, [("suppress:", "suppressed:")], 6, "did you mean suppress"),
    (OWN, [("suppress:", "opt_outs:")], 6, "did you mean suppress"),
    (OWN, [("suppress:", "optout_query:")], 6, "did you mean suppress"),
    (OWN, [("suppress:", "consents:")], 6, "did you mean consent"),
    (OWN, [("suppress:", "exclude:")], 6, "nothing reads exclude"),
    (OWN, [("suppress:", "Suppress:")], 6, "suppress"),
    (OWN, [("suppress:", "_suppress:")], 6, "did you mean suppress"),
    (OWN, [("suppress: queries/suppressed.sql", "suppress: {query: a.sql}")], 6, "must be SQL"),
    (OWN, [("suppress: queries/suppressed.sql", "consent: [a.sql]")], 6, "must be SQL"),
    (OWN, [("suppress: queries/suppressed.sql", "suppress: crm.opt_outs")], 6, "must be SQL"),
    (OWN, [(_SUPPRESS, ""), ("_export:", "suppress: queries/suppressed.sql\n_export:")], 1, "nobody is withheld"),
    (OWN, [(_SUPPRESS, ""), ("_export:", "consent: queries/suppressed.sql\n_export:")], 1, "nobody is withheld"),
    (GOOD, [("+query:\n", "+query:\n" + _SUPPRESS)], 8, "nobody is withheld"),
    (GOOD, [("+query:\n", "+query:\n  opt_outs: SELECT email FROM a\n")], 8, "nobody is withheld"),
    (GROUP, [], 4, "nobody is withheld"),
    (OWN, [("suppress: queries/suppressed.sql", "suppress: ''")], 6, "suppress of the task is blank"),
    (OWN, [("suppress: queries/suppressed.sql", "suppress:")], 6, "suppress of the task is blank"),
    (OWN, [("queries/suppressed", "queries/none")], 6, "no file queries/none.sql"),
    (OWN, [("queries/suppressed", "../suppressed")], 6, "outside the project"),
    (OWN, [("queries/suppressed", "/srv/suppressed")], 6, "outside the project"),
    (OWN, [("queries/suppressed.sql", "SELECT maid FROM opt_outs")], 5, "suppress"),
    (OWN, [("queries/suppressed.sql", "SELECT customer_id FROM opt_outs")], 6, "no column email, maid or idfa"),
    (OWN, [("queries/suppressed.sql", "SELECT lower(email) FROM opt_outs")], 6, "no column email, maid or idfa"),
    (OWN, [("queries/suppressed.sql", "SELECT email FROM a; SELECT email FROM b")], 6, "several statements"),
    (OWN, [("suppress: queries/suppressed.sql", "consent: 'SELECT id FROM a'")], 6, "no column email, maid or idfa"),
    (OWN, [("    type:", "    suppress: queries/suppressed.sql\n    type:")], 8, "belongs on the task"),
    (OWN, [("add_people_to", "remove_people_from")], 6, "has no effect"),
    (OWN, [("action: add_people_to_current_audience", "action: delete_current_audience")], 6, "has no effect"),
    (ERASE, [("  query:", _SUPPRESS + "  query:")], 4, "nothing reads suppress"),
    (MANY, [("SELECT email FROM a", "SELECT email FROM a, suppress: ''")], 4, "suppress of the task is blank"),
    (MANY, [("SELECT email FROM a", "SELECT email FROM a, suppress: no.sql")], 4, "no file no.sql"),
    (MANY, [("SELECT email FROM a", "SELECT email FROM a, supress: no.sql")], 4, "supress"),
    (MANY, [("SELECT email FROM a", "SELECT email FROM a, opt_outs: no.sql")], 4, "opt_outs"),
    (MANY, [("  at_once", "  opt_out: queries/suppressed.sql\n  at_once")], 8, "opt_out"),
    (ACTIVATION, [("  later", "  suppressions: a.sql\n  later")], 6, "suppress"),
    (OWN, [("    type:", "    control: {percents: 10, salt: a}\n    type:")], 8, "control"),
    (OWN, [("    type:", "    control: {percent: 80, salt: a}\n    type:")], 8, "control"),
    (OWN, [("    type:", "    control: {percent: 10, salt: a, by: id}\n    type:")], 5, "which `control` names"),
    (OWN, [("  query", "  control: {percent: 10, salt: a}\n  query")], 5, "under result_settings"),
    (OWN, [("  query", "  dry_run: true\n  query")], 5, "under result_settings"),
    (OWN, [("  query", "  expect_values: plain\n  query")], 5, "under result_settings"),
    # Secrets.
    (GOOD, [(ENV, "")], 10, "TD_API_KEY"),
    (GOOD, [(ENV, ENV.replace("  _env", "  env"))], 18, "nothing reads env"),
    (GOOD, [("    TD_API_KEY: ${secret:td.apikey}\n", "")], 18, "TD_API_KEY"),
    (GOOD, [("    PINTEREST_CLIENT_ID: ${secret:pinterest.client_id}\n", "")], 18, "PINTEREST_CLIENT_ID"),
    (GOOD, [("PINTEREST_CLIENT_ID:", "PINTREST_CLIENT_ID:")], 20, "did you mean it by PINTREST_CLIENT_ID"),
    (GOOD, [("TD_API_KEY:", "TD_APIKEY:")], 19, "did you mean it by TD_APIKEY"),
    (GOOD, [("TD_API_KEY: ${secret:td.apikey}", "TD_API_KEY: ''")], 18, "TD_API_KEY"),
    (GOOD, [("${secret:pinterest.refresh_token}", "${secret:td.apikey}")], 22, "which is by its name the TD_API_KEY"),
    (GOOD, [("${secret:td.apikey}", "${secret:pinterest.refresh_token}")], 19, "REFRESH_TOKEN"),
    (GOOD, [("pinterest.client_id}", "pinterest.client_secret}")], 20, "PINTEREST_CLIENT_SECRET"),
    (GOOD, [(_SECRET, "${secret:pinterest.client_id}")], 21, "PINTEREST_CLIENT_ID"),
    (GOOD, [(_SECRET, "${secret:pinterest_de.client_id}")], 21, "PINTEREST_CLIENT_ID"),
    (GOOD, [(_SECRET, "${secret:pinterest.client_secrt}")], 21, "did you mean pinterest.client_secret"),
    (
        GOOD,
        [("${secret:pinterest.refresh_token}", "${secret:pintrest.refresh_tokn}")],
        22,
        "did you mean pinterest.ref",
    ),
    (GOOD, [("${secret:td.apikey}", "${secrets:td.apikey}")], 19, "write ${secret:td.apikey}"),
    (GOOD, [("${secret:td.apikey}", "${secret.td.apikey}")], 19, "write ${secret:td.apikey}"),
    (GOOD, [(_SECRET, "s3cr3t")], 21, "in plain text"),
    (GOOD, [("${secret:td.apikey}", "1/s3cr3t")], 19, "in plain text"),
    (GOOD, [("type: pinterest\n", "type: pinterest\n    client_secret: s3cr3t\n")], 14, "in plain text"),
    (GOOD, [("type: pinterest\n", "type: pinterest\n    refresh_token: ${secret:td.apikey}\n")], 14, "TD_API_KEY"),
    (
        GOOD,
        [("type: pinterest\n", "type: pinterest\n    client_id: ${secret:pinterest_de.client_id}\n")],
        14,
        "PINTEREST_DE_CLIENT_ID",
    ),
    (MANY, [("  at_once", "  client_secret: s3cr3t\n  at_once")], 8, "under result_settings"),
    (plant(GOOD, (ENV, "")), [("_export:\n", "_export:\n" + ENV)], 4, "only from the task itself"),
    ("+a:\n  py>: td_pinterest_op.history.Failed\n", [], 2, "TD_API_KEY"),
    ("_error:\n  py>: td_pinterest_op.history.Lift\n  _env: {TD_APIKEY: a}\n", [], 3, "TD_API_KEY"),
    (STATUS, [("    PINTEREST_CLIENT_ID: ${secret:pinterest.client_id}\n", "")], 4, "PINTEREST_CLIENT_ID"),
    (ERASE, [("    TD_API_KEY: ${secret:td.apikey}\n", "")], 6, "TD_API_KEY"),
    (GOOD, [("type: pinterest\n", "type: pinterest\n    audience_description: ${secret:td.apikey}\n")], 14, "secret"),
    # Settings.
    (GOOD, [("    audience_type: customer_list\n", "")], 12, "audience_type: missing"),
    (GOOD, [("action: add", "acton: add")], 16, "is unknown; did you mean action"),
    (GOOD, [("_people_to_current", "_peple_to_current")], 16, "add_people_to_current_audience"),
    (GOOD, [('"549755885175"', '"account"')], 14, "digits"),
    (GOOD, [("    " + _ID, "")], 12, "audience_id"),
    (GOOD, [(_ID, 'audience_id: ""\n')], 12, "audience_id"),
    (GOOD, [("    type: pinterest", "    type: pintrest")], 13, "type"),
    (GOOD, [(_ID, _ID + "    max_leave_ratio: 0.5\n")], 18, "cannot apply"),
    (GOOD, [(_ID, _ID + "    audience_id_add_people: '7'\n")], 18, "conflicts"),
    (GOOD, [(_ID, _ID + "    dry_run: ''\n")], 12, "dry_run"),
    (GOOD, [(_ID, _ID + "    dry_run: perhaps\n")], 18, "dry_run"),
    (GOOD, [(_ID, _ID + "    min_records: 10\n    max_records: 5\n")], 19, "max_records"),
    (GOOD, [(_ID, _ID + "    audience_name: a\n")], 12, "audience_name"),
    (GOOD, [(_ID, _ID + "    query: SELECT 1\n")], 18, "belongs on the task"),
    (GOOD, [(_ID, _ID + "    history: a.b.c\n")], 18, "history"),
    (GOOD, [(_ID, _ID + "    expected_audience_name: the name of that audience\n")], 18, "placeholder"),
    (GOOD, [(_ID, _ID + "    settings_for_this_run: {dry_run: true}\n")], 18, "settings_for_this_run"),
    (GOOD, [("_export:\n", "_export:\n  settings_for_this_run: {dry_run: true}\n")], 4, "pass it with -p"),
    (GOOD, [("  py>:", "  settings_for_this_run: {dry_run: true}\n  py>:")], 11, "pass it with -p"),
    (GOOD, [(GOOD[GOOD.index("  result_settings") : GOOD.index("  _env")], "")], 10, "type: missing"),
    (GOOD, [("PinterestExport", "PinterestExprt")], 11, "did you mean td_pinterest_op.export.PinterestExport?"),
    (GOOD, [("td_pinterest_op.export", "td_pintrest_op.export")], 11, "did you mean td_pinterest_op.export.Pin"),
    (GOOD, [("td_pinterest_op.export.PinterestExport", "PinterestExport")], 11, "did you mean td_pinterest_op.export"),
    (GOOD, [("export.PinterestExport", "exports.Everything")], 11, "is not an operator"),
    (OWN, [_CREATE, _DAILY], 12, "from the second scheduled run on"),
    (OWN, [_REPLACE, _HOURLY], 12, "once a day at most"),
    (OWN, [_REPLACE, ("_export:", "schedule: {cron>: '*/5 * * * *'}\n_export:")], 12, "once a day at most"),
    (
        MANY,
        [_DAILY, ("add_people_to_current_audience, audience_id: '2'", "create_new_audience, audience_name: a")],
        5,
        "second",
    ),
    # Lists of audiences.
    (
        MANY,
        [
            ("'3'", "'2'"),
            ("add_people_to_current_audience, audience_id: '2'", "replace_current_audience, audience_id: '2'"),
        ],
        5,
        "an earlier entry",
    ),
    (
        MANY,
        [
            ("'3'", "'2'"),
            ("name: new, ad_account_id: '1', action: add_people_to", "name: new, ad_account_id: '1', action: mirror"),
        ],
        5,
        "an earlier entry",
    ),
    (MANY, [("name: new", "name: vip")], 5, "vip"),
    (MANY, [("ad_account_id", "ad_acount_id")], 4, "ad_acount_id"),
    (MANY, [("add_people", "add_peple")], 4, "action"),
    (MANY, [("'2'", "two")], 4, "audience_id"),
    (MANY, [("SELECT email FROM a}", "''}")], 4, "query of the task is blank"),
    (MANY, [("SELECT email FROM a}", "SELECT email FROM a, job_id: 7}")], 4, "both job_id and query"),
    (MANY, [("SELECT email FROM a}", "SELECT name FROM a}")], 4, "no column email"),
    (MANY, [("SELECT email FROM a}", "SELECT email FROM a, engine: mysql}")], 4, "engine"),
    (MANY, [(f"- {ENTRY}", "- vip")], 3, "entry 1"),
    (
        MANY,
        [("_export:\n  td", "_export:\n  audience_list: []\n  td"), ("  audiences:\n", "  audience:\n")],
        7,
        "audiences",
    ),
    (ACTIVATION, [("later_runs: add", "later_runs: replac")], 6, "later_runs"),
    (ACTIVATION, [("later_runs", "later_run")], 6, "later_runs"),
    (ACTIVATION, [("    type", "    action: replace_current_audience\n    type")], 9, "contradicts later_runs"),
    (STATUS, [("fail_on: TOO_SMALL", "fail_on: TO_SMALL")], 3, "fail_on"),
    (ERASE, [('"1, 2"', '"one"')], 5, "ad_account_ids"),
    (MANY, [("at_once: 4", "at_once: 0")], 8, "at_once"),
    (MANY, [("at_once: 4", "concurrent: 4")], 8, "nothing reads concurrent"),
    (MANY, [("name: vip", "name: vip, client_secret: a")], 4, "for_each>"),
    (MANY, [("name: vip", "name: vip, retry_count: 3")], 4, "for_each>"),
    # Queries.
    (OWN, [(_QUERY, "query: ''")], 5, "query of the task is blank"),
    (OWN, [(_QUERY, "query: queries/none.sql")], 5, "no file queries/none.sql"),
    (OWN, [(_QUERY, "query: SELECT email FROM a; SELECT 1")], 5, "several statements"),
    (OWN, [(_QUERY, "query: SELECT customer_id, name FROM people")], 5, "is not an identifier"),
    (OWN, [(_QUERY, "query: SELECT lower(email) FROM people")], 5, "is not an identifier"),
    (OWN, [(_QUERY, "query: SELECT email AS mail FROM people")], 5, "is not an identifier"),
    (OWN, [("database: shop", "engine: presto")], 4, "needs a database"),
    (OWN, [("  query:", "  job_id: '12'\n  query:")], 6, "both job_id and query"),
    (OWN, [("  query:", "  engine: mysql\n  query:")], 5, "engine"),
    (OWN, [(_QUERY, "querry: SELECT email FROM people")], 5, "did you mean query"),
    (OWN, [("FROM people", "FROM ${td.table")], 5, "is not closed"),
    (OWN, [("add_people_to", "mirror"), (_QUERY, "job_id: '12'")], 11, "needs `query`"),
    (GOOD, [("+query:\n  td>: queries/people.sql\n", "")], 9, "no job to export"),
    (GOOD, [("queries/people.sql", "queries/none.sql")], 8, "no file queries/none.sql"),
    (GOOD, [("queries/people.sql", "SELECT email FROM " + "a" * 300)], 8, "no file SELECT email"),
    (GOOD, [("queries/people.sql", "{data: 'SELECT email FROM ${table'}")], 8, "is not closed"),
    (GOOD, [("queries/people.sql", "{data: SELECT id FROM people}")], 10, "is not an identifier"),
    (GOOD, [("    database: shop\n", "    engine: presto\n")], 8, "needs a database"),
    (
        GOOD,
        [("  td>: queries/people.sql\n", "  td>: queries/people.sql\n  result_settings: {type: pinterest}\n")],
        9,
        "connector",
    ),
    (GOOD, [("  td>: queries/people.sql", "  echo>: hello")], 11, "no job to export"),
    ("+a:\n  td>: {data: SELECT 1}\n  result_settings: {type: Pinterest}\n", [], 3, "does not run this operator"),
    # The rest.
    (GOOD, [('"2542620905475"', "25426209054752542")], 17, "in quotes"),
    (GOOD, [("    type: pinterest\n", "\ttype: pinterest\n")], 13, "tab"),
    (GOOD, [("timezone: UTC", "timezone: UTC\ntimezone: UTC")], 2, "defined twice"),
    (GOOD, [("    ad_account_id", "   ad_account_id")], 14, "not valid YAML"),
    (GOOD, [("_export:\n", "_export:\n  !include : none.yml\n")], 4, "does not exist"),
    (GOOD, [("_export:\n", "_export:\n  !include : /etc/hosts\n")], 4, "outside the project folder"),
    (GOOD, [("_export:\n", "_export:\n  docker: {memory: 1g}\n")], 12, "image"),
    (GOOD, [("+query:", "+other:\n  py>: a.b\n  docker: {image: python}\n+query:")], 14, "image"),
    (GOOD, [("+export:", "+b: {echo>: '${pinterest.record.sent}'}\n\n+export:")], 10, "did you mean records"),
    (GOOD, [("+export:", "+b: {echo>: '${pinterest.records.snt + 1}'}\n\n+export:")], 10, "did you mean sent"),
    (GOOD, [("+export:", "+b: {mail>: {data: a}, to: [you@example.com]}\n\n+export:")], 10, "real address"),
]


@pytest.mark.parametrize(("text", "changes", "line", "said"), WRONG)
def test_a_mistake_is_found_at_its_line_with_what_to_do(
    tmp_path: Path, text: str, changes: list[tuple[str, str]], line: int, said: str
) -> None:
    found = found_in(tmp_path, plant(text, *changes))
    assert [each for each in found if each[0] == line and said in each[2]], found


_SECOND_APP = ENV.replace("pinterest.", "pinterest_de.").replace("PINTEREST_", "PINTEREST_DE_")
_AS_JSON = (
    '{"type": "pinterest", "ad_account_id": "1", "audience_type": "customer_list", "action": "clear_current_audience", '
    '"audience_id": "2"}'
)
_TAIL = "\n+after:\n  "
RIGHT: list[tuple[str, list[tuple[str, str]]]] = [
    *((text, []) for text in (GOOD, OWN, MANY, ACTIVATION, ERASE, STATUS)),
    # What is the user's own, however it is named.
    (
        GOOD,
        [
            ("_export:\n", "_export:\n  pinterest: {board: a}\n"),
            ("+export:", "+b: {echo>: '${pinterest.board}'}\n+export:"),
        ],
    ),
    (GOOD + _TAIL + "echo>: ${my.pinterest.people} ${pinterest_boards.count}\n", []),
    (GOOD + _TAIL + "echo>: ${pinterest.records.sent} of ${pinterest.rows.invalid_by_reason}\n", []),
    (GOOD + _TAIL + "echo>: ${pinterest.summary.replace(/x/g, 'y')}\n", []),
    (GOOD + _TAIL + "echo>: \"${typeof pinterest === 'undefined' ? 0 : pinterest.records.sent}\"\n", []),
    (GOOD + _TAIL + "py>: td_pinterest_ops.export.PinterestExport\n", []),
    (GOOD + _TAIL + "py>: shop.PinterestExport\n  consent: asked\n", []),
    (GOOD + _TAIL + "py>: shop.pinterest.Export.run\n  suppress_list: a\n", []),
    (GOOD + _TAIL + "py>: reports.Weekly\n  opt_outs: 7\n", []),
    (GOOD, [("_export:\n", "_export:\n  databases: [a, b]\n  job_ids: [1, 2]\n")]),
    (GOOD, [("_export:\n", "_export:\n  td_database: a\n  queries: {people: b}\n  engines: 4\n")]),
    (GOOD, [("_export:\n", "_export:\n  seed: 12345678901234567\n")]),
    (GOOD, [("timezone: UTC", "timezone: ${zone}\nschedule: {daily>: noon}\nsla: {time: 02:00}")]),
    (GOOD, [("+query:\n", "+query:\n  store_last_results: true\n  preview: true\n")]),
    (
        GOOD,
        [
            ("+query:\n", "+query:\n  opt_out_table: a.b\n"),
            ("queries/people.sql", "{data: 'SELECT email FROM ${opt_out_table}'}"),
        ],
    ),
    (GOOD + _TAIL + "http>: https://shop.example/\n  headers: [{a: '${secret:pinterest_fr.refresh_tokn}'}]\n", []),
    (GOOD + _TAIL + "mail>: {data: done}\n  to: [ops@shop.example]\n", []),
    (
        GOOD,
        [
            ("  py>:", "  label: a\n  py>:"),
            ("    type", "    audience_description: of ${label}\n    type"),
            (_ACTION, "action: create_new_audience\n"),
            ("audience_id: ", "audience_name: "),
        ],
    ),
    # Secrets.
    (GOOD, [(ENV, _SECOND_APP.replace("PINTEREST_DE_", "PINTEREST_"))]),
    (
        GOOD,
        [
            (ENV, _SECOND_APP.replace("td.apikey", "eu.td.apikey")),
            (
                "    type",
                "    client_id: ${secret:pinterest_de.client_id}\n"
                "    client_secret: ${secret:pinterest_de.client_secret}\n"
                "    refresh_token: ${secret:pinterest_de.refresh_token}\n    type",
            ),
        ],
    ),
    (GOOD, [(_SECRET, "${secret:marketing}")]),
    (GOOD, [(_SECRET, "${secret:pinterest.client_secret_eu}")]),
    (GOOD, [(_SECRET, "${secret:pinterest2.client.secret}")]),
    (GOOD, [("type: pinterest\n", "type: pinterest\n    client_secret: ''\n")]),
    (GOOD, [(ENV, ENV + "    TD_API_SERVER: https://api.eu01.treasuredata.com/\n    LEVEL: debug\n")]),
    # What only a run knows.
    (
        GOOD,
        [
            ('"549755885175"', '"${account || 1}"'),
            ('"2542620905475"', "${td.each.audience_id}"),
            ("add_people_to_current_audience", "${what}"),
        ],
    ),
    (
        GOOD,
        [(GOOD[GOOD.index("  result_settings") : GOOD.index("  _env")], "  result_settings: ${activation.settings}\n")],
    ),
    (
        OWN,
        [
            (_QUERY, "query: 'SELECT ${column} FROM people'"),
            ("  query", "  engine: ${engine}\n  database: ${where}\n  query"),
            ("queries/suppressed.sql", "${opt_outs}"),
        ],
    ),
    (OWN, [(_ID, _ID + "    columns: {mail: '${kind}'}\n    control: {percent: '${share}', salt: a}\n")]),
    (
        MANY,
        [("'2'", "'${vip}'"), (f"- {ENTRY.replace('vip', 'new').replace(chr(39) + '2', chr(39) + '3')}", "- ${entry}")],
    ),
    (MANY, [("'2'", "''"), ("'3'", "''")]),
    (ACTIVATION, [("later_runs: add", "later_runs: ${later}")]),
    (
        ACTIVATION,
        [
            (
                "\n    type: pinterest\n    audience_type: customer_list\n    ad_account_id: ${target.account}",
                " ${result_connection_settings}",
            )
        ],
    ),
    # Settings and rows of every form.
    (GOOD, [("add_people_to_current_audience", "Add-People-To-Current-Audience"), ('"549755885175"', "549755885175")]),
    (
        GOOD,
        [
            (
                GOOD[GOOD.index("  result_settings") : GOOD.index("  _env")],
                f"  result_settings: '{_AS_JSON}'\n",
            )
        ],
    ),
    (
        GOOD,
        [
            ("    audience_type", "    <<: *common\n    audience_type"),
            ("_export:", "x: &common {dry_run: true, history: runs}\n_export:"),
        ],
    ),
    (GOOD, [("queries/people.sql", "{data: 'SELECT id, mail FROM people', insert_into: a}\n  insert_into: a")]),
    (GOOD, [("  td>: queries/people.sql", "  py>: people.Query.run")]),
    (GOOD, [("  py>:", "  job_id: ${td.last_job_id}\n  py>:"), ("PinterestExport", "PinterestExport.run")]),
    (OWN, [_CREATE, _DAILY, ("    type", "    if_exists: add\n    type")]),
    (OWN, [_REPLACE, _DAILY]),
    (OWN, [_REPLACE, ("_export:", "schedule: {cron>: 0 6 * * *}\n_export:")]),
    (OWN, [("add_people_to", "mirror"), ("    type", "    rebuild: true\n    type")]),
    (
        OWN,
        [
            ("  query", "  priority: 1\n  presto_pool_name: a\n  query"),
            ("suppress: queries/suppressed.sql", "consent: SELECT maid, email FROM a"),
        ],
    ),
    (
        OWN,
        [(_QUERY, "query: 'WITH a AS (SELECT id FROM b) SELECT DISTINCT p.email AS \"Email\", maid FROM p; -- all'")],
    ),
    (OWN, [(_QUERY, "query: SELECT * FROM people"), ("queries/suppressed.sql", "SELECT o.* FROM o")]),
    (
        OWN,
        [
            (_QUERY, "query: SELECT mail, id FROM people"),
            (_ID, _ID + "    columns: {mail: email}\n    control: {percent: 10, salt: a, by: id}\n"),
        ],
    ),
    (
        OWN,
        [
            (_QUERY, "query: SELECT phone, external_id FROM p"),
            ("queries/suppressed.sql", "SELECT phone FROM a"),
            (_ID, _ID + "    records: rows\n"),
        ],
    ),
    (
        MANY,
        [
            ("'3'", "'2'"),
            (
                "name: new, ad_account_id: '1', action: add_people_to",
                "name: new, ad_account_id: '1', action: remove_people_from",
            ),
        ],
    ),
    (
        MANY,
        [
            ("'3'", "'2'"),
            ("name: new, ad_account_id: '1', action: add_people_to", "name: new, ad_account_id: '7', action: replace"),
        ],
    ),
    (
        MANY,
        [
            ("  at_once: 4\n", "  at_once: 4\n  consent: queries/suppressed.sql\n"),
            ("SELECT email FROM a", "queries/people.sql"),
        ],
    ),
    (
        ERASE,
        [
            ('"1, 2"', "['1', '2']"),
            ("queries/people.sql", "SELECT mail FROM a\n  database: crm"),
            ("{ad", "{columns: {mail: email}, ad"),
        ],
    ),
    (GOOD, [("  td:\n", "  docker: {image: a}\n  td:\n")]),
    ("+others: {td>: {data: 'SELECT ${'}, suppress: 1, result_settings: {type: s3}}\n", []),
]


@pytest.mark.parametrize(("text", "changes"), RIGHT)
def test_a_good_folder_has_no_finding(tmp_path: Path, text: str, changes: list[tuple[str, str]]) -> None:
    files = {"td_pinterest_ops/__init__.py": "", "shop.py": "", "called.sql": ""}
    assert found_in(tmp_path, plant(text, *changes), files) == []
