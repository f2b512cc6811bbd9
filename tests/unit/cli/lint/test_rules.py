"""`td-pinterest check`: each mistake is found, at its line, with its cure; nothing else is."""

import json
from pathlib import Path
from unittest.mock import Mock

import pytest

from td_pinterest_op.cli.check import check_file
from td_pinterest_op.cli.lint import built_exports
from td_pinterest_op.many import read_entries
from tests.unit.cli.lint.samples import CONNECTOR, GOOD, found_in
from tests.unit.cli.running import Ran, Terminal

ROOT = Path(__file__).parent.parent.parent.parent.parent


@pytest.mark.parametrize("workflow", sorted((ROOT / "workflows").glob("*.dig")), ids=lambda path: path.name)
def test_our_own_workflows_have_no_finding(workflow: Path) -> None:
    assert [] == [str(finding) for finding in check_file(workflow)]


def test_the_sample_of_the_connectors_documentation_has_each_problem_at_its_line(project: Path) -> None:
    assert [
        (10, "connector"),
        (12, "plain-secret"),
        (13, "plain-secret"),
        (14, "plain-secret"),
        (18, "unused-setting"),
    ] == found_in(project, CONNECTOR.replace("\t", "  "))


def test_finding_quotes_no_control_character_of_a_workflow(project: Path) -> None:
    (project / "odd.dig").write_text('+e:\n  py>: "td_pinterest_op.export.Nope\\e[31m\\n::error::"\n')
    [finding] = [finding for finding in check_file(project / "odd.dig") if finding.code == "class"]
    assert (True, True) == (finding.message.isprintable(), "Nope\N{REPLACEMENT CHARACTER}[31m" in finding.message)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "", []),
        ("SELECT email FROM people", "|\n      SELECT\temail\n      FROM\tpeople", []),
        ('"549755885175"', "${account || '1'}", []),
        ("    type: pinterest\n", "\ttype: pinterest\n", [(16, "tab")]),
        ("timezone: UTC", "timezone: UTC\ntimezone: UTC", [(2, "duplicate-key")]),
        ("timezone: UTC", "a: &a {b: *a}", [(1, "yaml")]),
        ("    data: SELECT", "    data: [SELECT", [(13, "yaml")]),
        ("    TD_API_KEY: ${secret:td.apikey}\n", "", [(21, "env")]),
        ("    PINTEREST_CLIENT_ID: ${secret:pinterest.client_id}\n", "", [(15, "env")]),
        ("${secret:pinterest.client_secret}", "s3cr3t", [(24, "plain-secret")]),
        ("${secret:td.apikey}", "1/s3cr3t", [(22, "plain-secret")]),
        ("pinterest.client_secret}", "pinterest.client_secrt}", [(24, "secret-name")]),
        ("pinterest.client_secret}", "pinterest2.client_secret}", []),
        ("pinterest.client_secret}", "pinterest.client_secret_eu}", []),
        ("pinterest.client_secret}", "pinterest.client.secret}", []),
        ("pinterest.client_secret}", "marketing}", []),
        ("  docker:\n", "  _env:\n    A: b\n  docker:\n", [(6, "env")]),
        ("+query:\n  td>:\n    data: SELECT email FROM people\n", "+query:\n  call>: people\n", [(10, "left-out")]),
        ("  _env:\n", "  suppress: queries/opted_out.sql\n  _env:\n", [(21, "left-out")]),
        ("  _env:\n", "  supress: SELECT 1\n  _env:\n", [(21, "unknown-parameter")]),
        ("  _env:\n", "  consents: SELECT 1\n  _env:\n", [(21, "unknown-parameter")]),
        ("_export:\n", "_export:\n  querry: SELECT 1\n", [(14, "unknown-parameter")]),
        ("_export:\n", "_export:\n  td_database: crm\n  suppress_job: 1\n  queries: a\n", []),
        ("  _env:\n", "  query: queries/none.sql\n  database: crm\n  _env:\n", [(21, "left-out")]),
        ("  _env:\n", "  consent: SELECT email FROM consents\n  _env:\n", []),
        ("  _env:\n", "  consent: ' '\n  _env:\n", [(21, "source")]),
        ("  _env:\n", "  consent: SELECT 1; SELECT 2\n  _env:\n", [(21, "source")]),
        ("  _env:\n", "  query: SELECT 1; SELECT 2\n  _env:\n", [(21, "source")]),
        ("  _env:\n", "  query: SELECT 1; -- all\n  _env:\n", []),
        ("  _env:\n", "  query: SELECT 1\n  engine: ${engine}\n  _env:\n", []),
        ("  _env:\n", "  consent: ${consents}\n  _env:\n", []),
        ("_export:\n", "_export:\n  audiences: [{suppress: no.sql}]\n", [(4, "left-out")]),
        ("_export:\n", "_export:\n  audiences: [{query: no.sql}, {query: SELECT 1}]\n", [(4, "left-out")]),
        ("td>:\n    data: SELECT email FROM people", "td>: people.sql", [(10, "left-out")]),
        ("td>:\n    data: SELECT email FROM people", "td>: ../people.sql", [(10, "left-out")]),
        ("timezone: UTC\n", "timezone: UTC\n!include : 'no.yml'\n", [(2, "left-out")]),
        ("timezone: UTC\n", "timezone: UTC\n!include : '../all.yml'\n", [(2, "left-out")]),
        ("td>:\n    data: SELECT email FROM people", "call>: query", [(10, "left-out")]),
        ("td>:\n    data: SELECT email FROM people", "call>: query.dig", [(10, "left-out")]),
        ("action: add", "acton: add", [(15, "setting"), (19, "unknown-setting")]),
        ("_people_to_current", "_peple_to_current", [(19, "setting")]),
        ('"549755885175"', '"account"', [(17, "setting")]),
        ('    ad_account_id: "549755885175"\n', "", [(15, "setting")]),
        ('"2542620905475"', "25426209054752542", [(20, "unquoted-id")]),
        ("PinterestExport", "PinterestExprt", [(14, "class")]),
        ("td_pinterest_op.export", "td_pintrest_op.export", [(14, "class")]),
        ("PinterestExport", "PinterestExport.run", []),
        ("td_pinterest_op.export", "Other.run", []),
        ("add_people_to_current_audience", "Add-People-To-Current-Audience", []),
        ("  docker:\n    image: treasuredata/customscript-python:3.12.11-td0\n", "", []),
        ("    image: treasuredata/customscript-python:3.12.11-td0", "    memory: 1g", [(13, "docker")]),
        ("+query:\n  td>:\n    data: SELECT email FROM people\n", "", [(10, "source")]),
        ("  td>:\n    data: SELECT email FROM people\n", "  py>: people.Query.run\n", []),
        ("  td>:\n    data: SELECT email FROM people\n", "  echo>: people\n", [(12, "source")]),
        ("_export:\n", "_export:\n  job_id: '12'\n", []),
        ("+query:\n", "+query:\n  _retry: 3\n", [(10, "retry")]),
        ("  _env:\n", '  job_id: ""\n  _env:\n', [(21, "source")]),
        ("type: pinterest\n", "type: pinterest\n    client_secret: s3cr3t\n", [(17, "plain-secret")]),
        ("type: pinterest\n", "type: pinterest\n    client_secret: ''\n", []),
        ("td_pinterest_op.export.PinterestExport", "reports.Weekly", []),
        ("  _env:\n", "  job_id: ${td.last_job_id}\n  _env:\n", []),
        ("    data: SELECT email FROM people\n", "    data: SELECT 1\n  _retry: 2\n", [(12, "retry")]),
        ("td>:\n    data: SELECT email FROM people", "call>: ${which}", []),
        ("td>:\n    data: SELECT email FROM people", "td>: ''", []),
        ("timezone: UTC", "timezone: Asia/Tokio", [(1, "timezone")]),
        ("timezone: UTC", "timezone: asia/tokyo", [(1, "timezone")]),
        ("timezone: UTC", "timezone: Asia/Tokyo", []),
        ("timezone: UTC", "timezone: '+09:00'", []),
        ("timezone: UTC", "timezone: ${zone}", []),
        ("timezone: UTC", "schedule:\n  dayly>: 07:00:00", [(2, "schedule")]),
        ("timezone: UTC", "schedule:\n  daily>: 07:00:00\n  skip_on_overtime: true", []),
    ],
)
def test_a_mistake_is_found_at_its_line(project: Path, old: str, new: str, expected: list[tuple[int, str]]) -> None:
    assert old in GOOD
    assert expected == found_in(project, GOOD.replace(old, new, 1))


QUERY = "td>:\n    data: SELECT email FROM people"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("+query:", "query:", [(7, "task-name"), (11, "source")]),
        ("+export:", "export:", [(11, "task-name")]),
        ("+query:", "+group:\n  inner: {echo>: hello}\n\n+query:", [(8, "task-name")]),
        ("timezone: UTC", "schedule: {daily>: 07:00:00}\nsla: {time: 02:00}\n_error: {echo>: failed}", []),
        (QUERY, "td>: {data: 'SELECT email FROM ${target.tabel}'}", []),
        ("_export:\n", "_export:\n  target: {table: a}\n", []),
        ("    database: sandbox\n", "    engine: presto\n", [(8, "database")]),
        ("  _env:\n", "  query: SELECT 1 AS email\n  _env:\n", []),
        ("    action:", "    hash_in: warehouse\n    action:", [(17, "source")]),
        ("  _env:\n", "    hash_in: warehouse\n  query: SELECT 1 AS email\n  _env:\n", []),
        ("  _env:\n", "    hash_in: warehouse\n  query: SELECT 1\n  engine: hive\n  _env:\n", [(19, "source")]),
        ("  _env:\n", "  query: queries/people.sql\n  _env:\n", [(19, "left-out")]),
        ("timezone: UTC", "schedule: {cron>: '0 7 * * *'}", []),
        ("timezone: UTC", "schedule: {cron>: '*/15 7-9,18 1-31/2 jan-mar Mon,Fri'}", []),
        ("timezone: UTC", "schedule: {cron>: '0 7 29 2 *'}", []),
        ("timezone: UTC", "schedule: {cron>: '0 7 30 2 *'}", [(1, "schedule")]),
        ("timezone: UTC", "schedule: {cron>: '0 7 31 4,6 *'}", [(1, "schedule")]),
        ("timezone: UTC", "schedule: {cron>: '0 24 * * *'}", [(1, "schedule")]),
        ("timezone: UTC", "schedule: {cron>: '60 7 * * *'}", [(1, "schedule")]),
        ("timezone: UTC", "schedule: {cron>: '0 7 * *'}", [(1, "schedule")]),
        ("timezone: UTC", "schedule: {cron>: '0 7 * * noday'}", [(1, "schedule")]),
        ("timezone: UTC", "schedule: {cron>: '0 9-7 * * *'}", [(1, "schedule")]),
        ("timezone: UTC", "schedule: {cron>: '*/0 7 * * *'}", [(1, "schedule")]),
        ("timezone: UTC", "schedule: {cron>: '${when}'}", []),
        ("timezone: UTC", "schedule: {daily>: '25:00:00'}", [(1, "schedule")]),
        ("timezone: UTC", "schedule: {daily>: 7 am}", [(1, "schedule")]),
        ("timezone: UTC", "schedule: {daily>: '7:00'}", [(1, "schedule")]),
        ("timezone: UTC", "schedule: {daily>: '7:0:0'}", []),
        ("timezone: UTC", "schedule: {weekly>: 'Sun,09:00'}", [(1, "schedule")]),
        ("timezone: UTC", "schedule: {monthly>: '1,09:00'}", [(1, "schedule")]),
        ("timezone: UTC", "schedule: {hourly>: '07:00:00'}", [(1, "schedule")]),
        ("timezone: UTC", "schedule: {weekly>: 'Sun,09:00:00'}", []),
        ("timezone: UTC", "schedule: {weekly>: '09:00:00'}", [(1, "schedule")]),
        ("timezone: UTC", "schedule: {monthly>: '32,09:00:00'}", [(1, "schedule")]),
        ("timezone: UTC", "schedule: {minutes_interval>: 0}", [(1, "schedule")]),
        ("timezone: UTC", "schedule: {minutes_interval>: 30}", []),
        ('"2542620905475"', '"${target.audience_id"', [(18, "setting"), (18, "template")]),
        (QUERY, "td>: {data: 'SELECT email FROM ${table'}", [(8, "template")]),
        (QUERY, "td>: {data: 'SELECT email FROM ${ {a: table}.a }'}", []),
        ("timezone: UTC\n", "!include: 'config/workflow.yml'\n", [(1, "yaml")]),
        ("timezone: UTC\n", "a:\n  !include: 'config/workflow.yml'\n", [(2, "yaml")]),
        ("timezone: UTC\n", "# !include: 'x' is no include\n", []),
        ("  _env:\n", "  env:\n", [(11, "env"), (13, "env"), (13, "env"), (13, "env"), (19, "key")]),
        ("_export:\n", "_exports:\n", [(3, "key"), (8, "database")]),
        ("_export:\n", "export:\n", [(3, "key"), (8, "database")]),
        ("+query:", "_eror: {echo>: failed}\n\n+query:", [(7, "key")]),
        ("+query:", "+query:\n  _paralel: true", [(8, "key")]),
        ("+export:\n", "+export:\n  _retry: three\n", [(12, "key")]),
        ("+export:\n", "+export:\n  _retry: ${tries}\n", []),
        ("+export:\n", "+export:\n  _retry: {limit: 3}\n", []),
        ("  py>: td", "  py: td", [(12, "key")]),
        ("+export:", "+my export:", [(11, "task-name")]),
        ("timezone: UTC", "schedule: {daily: 07:00:00}", [(1, "schedule")]),
        ("timezone: UTC", "schedule: {daily>: 07:00:00, hourly>: 30:00}", [(1, "schedule")]),
        ("_export:\n", "_export:\n  schedule: {daily>: 07:00:00}\n", [(4, "schedule")]),
        ("${secret:td.apikey}", "${secrets:td.apikey}", [(20, "template")]),
        ("${secret:td.apikey}", "${secret.td.apikey}", [(20, "template")]),
        ("+query:", "+b: {http>: '${secret:http.uri}'}\n\n+query:", [(7, "secret-name")]),
        ("+query:", "+b: {http>: 'https://hooks.slack.com/services/T0/B0/abc'}\n\n+query:", [(7, "plain-secret")]),
        ("+query:", "+b: {http>: 'https://api.shop.example/done'}\n\n+query:", []),
        ("+query:", "+b: {mail>: {data: done}, to: [you@example.com]}\n\n+query:", [(7, "placeholder")]),
        ("+query:", "+b: {mail>: {data: done}, to: [ops@shop.example]}\n\n+query:", []),
        ("  result_settings:\n", "  ignore_invalid_records: true\n  result_settings:\n", [(13, "setting")]),
        ("td_pinterest_op.export.PinterestExport", "PinterestExport", [(12, "class")]),
        ("td_pinterest_op.export.PinterestExport", "Export", []),
        ("+query:", "+report: {echo>: '${pinterest.summary}'}\n\n+query:", [(7, "statistic")]),
        ("+query:", "+report: {echo>: '${typeof pinterest}'}\n\n+query:", []),
        ("_export:\n", "_export:\n  target: ids.yml\n  shown: ${target.audience_id}\n", [(5, "template")]),
        ("_export:\n", "_export:\n  target: ids.yml\n  shown: ${target.length}\n", []),
        (
            '"2542620905475"\n',
            '"2542620905475"\n    expected_audience_name: the name of that audience\n',
            [(19, "placeholder")],
        ),
        (
            "td_pinterest_op.export.PinterestExport",
            "td_pinterest_op.activation.PinterestActivation\n  later_runs: append",
            [(13, "setting")],
        ),
        (
            "td_pinterest_op.export.PinterestExport",
            "td_pinterest_op.activation.PinterestActivation\n  later_run: replace",
            [(13, "unknown-parameter")],
        ),
        ('"2542620905475"\n', '"2542620905475"\n    dry_run: ""\n', [(19, "blank-setting")]),
        ('"2542620905475"\n', '"2542620905475"\n    dry_run: ${nothing}\n', []),
        (
            "td_pinterest_op.export.PinterestExport",
            "td_pinterest_op.activation.PinterestActivation\n  later_runs: mirror",
            [(18, "setting")],
        ),
    ],
)
def test_a_mistake_of_any_workflow_is_found_at_its_line(
    project: Path, old: str, new: str, expected: list[tuple[int, str]]
) -> None:
    good = GOOD.replace("  docker:\n    image: treasuredata/customscript-python:3.12.11-td0\n", "")
    assert old in good
    assert expected == found_in(project, good.replace(old, new, 1))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("target.audience_id", []),
        ("target.audienceid", ["${target.audienceid}: target has no audienceid; did you mean audience_id?"]),
        ("target.of.id", []),
        ("target.of.di", ["${target.of.di}: target has no di"]),
        ("target.audience_id.length", []),
        ("td.last_job_id", []),
        ("td.last_job.num_records", []),
        ("td.last_results.database", []),
        ("td.table", []),
        ("td.databse", ["${td.databse}: td has no databse; did you mean database?"]),
        ("pinterest.records.sent", []),
        ("moment.x", []),
        ("target.audienceid || 1", []),
    ],
)
def test_a_misspelt_key_of_an_included_file_is_found(project: Path, name: str, expected: list[str]) -> None:
    (project / "ids.yml").write_text("target: {audience_id: '2542620905475', of: {id: 1}}\n")
    text = GOOD.replace("_export:\n", "_export:\n  !include : 'ids.yml'\n")
    file = project / "export.dig"
    file.write_text(f"{text}\n+report:\n  echo>: '${{{name}}}'\n")
    assert expected == [finding.message for finding in check_file(file)]


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (QUERY, "td>: people.sql\n  database: ${td.databse}", 10),
        (QUERY, "td>: {data: 'SELECT email FROM ${td.databse}.people'}", 9),
        ("  _env:\n", "  database: ${td.databse}\n  _env:\n", 20),
        ("  _env:\n", "  query: SELECT email FROM ${td.databse}.people\n  _env:\n", 20),
    ],
)
def test_a_misspelt_database_is_found_where_a_query_uses_it(project: Path, old: str, new: str, line: int) -> None:
    (project / "people.sql").write_text("SELECT email FROM people")
    text = GOOD.replace("  docker:\n    image: treasuredata/customscript-python:3.12.11-td0\n", "  region: a\n")
    assert [(line, "template")] == found_in(project, text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("sql", "of_td", "of_operator"),
    [
        ("SELECT email FROM people", [], []),
        (" \n", [(9, "source")], [(20, "source")]),
        ("SELECT email FROM ${td.table}", [], [(20, "template")]),
        ("SELECT email FROM ${target.tabel}", [(9, "template")], [(20, "template")]),
    ],
)
def test_a_query_file_that_is_blank_or_has_a_template_without_a_value_is_found(
    project: Path, sql: str, of_td: list[tuple[int, str]], of_operator: list[tuple[int, str]]
) -> None:
    (project / "people.sql").write_text(sql)
    text = GOOD.replace(
        "  docker:\n    image: treasuredata/customscript-python:3.12.11-td0\n", "  target: {table: a}\n"
    )
    assert of_td == found_in(project, text.replace(QUERY, "td>: people.sql"))
    assert of_operator == found_in(project, text.replace("  _env:\n", "  suppress: people.sql\n  _env:\n"))


_NESTED = '{ad_account_id: "1", action: add_people_to_current_audience, audience_id: "2"}'
_SHARED = '{"type": "pinterest", "audience_type": "customer_list"}'
_ENTRY = '{name: vip, ad_account_id: "1", action: add_people_to_current_audience, audience_id: "2", query: SELECT 1}'


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([], []),
        ([("add_people", "add_peple")], [(3, "setting")]),
        ([("ad_account_id", "ad_acount_id")], [(3, "setting"), (3, "unknown-setting")]),
        ([('"2"', '""')], []),
        ([('"2"', "two")], [(3, "setting")]),
        (
            [("- {", "- {name: vip, ad_account_id: '1', action: delete_current_audience, audience_id: '4'}\n  - {")],
            [(4, "setting")],
        ),
        ([("  - {name: vip, ", "    vip: {")], [(2, "setting")]),
        ([("- {name: vip, ", "- {name: 1, "), ("\n  concurrent", f"\n  - {_ENTRY}\n  concurrent")], []),
        ([("- {", "- {name: 1, query: SELECT 1}\n  - {name: '1'}\n  - {")], [(4, "setting")]),
        ([(f"\n  - {_ENTRY}", f" '[{_ENTRY}]'")], []),
        ([(f"\n  - {_ENTRY}", " []")], [(2, "setting")]),
        ([(f"\n  - {_ENTRY}", "")], [(2, "setting")]),
        ([(f"\n  - {_ENTRY}", " ${audiences}")], []),
        ([(_ENTRY, f"'{_ENTRY}'")], []),
        ([(_ENTRY, f"'{_ENTRY}'"), ("add_people", "add_peple")], [(3, "setting")]),
        ([(_ENTRY, "${entry}")], []),
        ([(_ENTRY, "vip")], [(3, "setting")]),
        ([(_ENTRY, f"{{name: vip, query: SELECT 1, result_settings: {_NESTED}}}")], []),
        ([(_ENTRY, f"{{name: vip, query: SELECT 1, result_settings: '{_NESTED}'}}")], []),
        ([(_ENTRY, f"{{name: vip, query: SELECT 1, result_settings: '{_NESTED}', dry_run: true}}")], [(3, "setting")]),
        ([(_ENTRY, "{name: vip, result_settings: '${vip}'}")], []),
        ([("{type: pinterest, audience_type: customer_list}", f"'{_SHARED}'")], []),
        ([("{type: pinterest, audience_type: customer_list}", "${shared}"), ('"2"', "two")], []),
        ([("{name: vip", "{name: ''"), ("\n  concurrent", f"\n  - {_ENTRY}\n  concurrent")], []),
        ([("name: vip, ", ""), ("\n  concurrent", f"\n  - {_ENTRY}\n  concurrent"), ("vip", "'2'")], [(4, "setting")]),
        ([("query: SELECT 1", "query: ''")], [(3, "source")]),
        ([("query: SELECT 1", "query: SELECT 1; SELECT 2")], [(3, "source")]),
        ([("query: SELECT 1", "query: SELECT 1, job_id: 7")], [(3, "source")]),
        ([("query: SELECT 1", "query: '${people}', engine: '${engine}', suppress: '${lists}'")], []),
        ([("query: SELECT 1", "query: SELECT 1, engine: mysql")], [(3, "source")]),
        ([("query: SELECT 1", "query: SELECT 1, suppress: ''")], [(3, "source")]),
        ([("query: SELECT 1", "query: SELECT 1, segment: crm.vip")], [(3, "setting")]),
        ([("query: SELECT 1", "segment: crm-vip")], [(3, "setting")]),
        ([("query: SELECT 1", "segment: '${segment}', column: '${column}'")], []),
        ([(", query: SELECT 1", "")], [(3, "source")]),
        ([("query: SELECT 1", "segment: vip, hash_in: warehouse, engine: hive")], [(3, "source")]),
        ([("query: SELECT 1", "query: SELECT 1, columns: {mail: '${kind}'}")], []),
        ([("customer_list}", "customer_list, control: {percent: '${share}', salt: [a, '${salt}']}}")], []),
        ([("query: SELECT 1", "query: SELECT 1, columns: {mail: letter}")], [(3, "setting")]),
        (
            [(f"\n  - {_ENTRY}", f"\n  - {_ENTRY}".replace("vip", "a") + "\n  - b" + f"\n  - {_ENTRY}" * 2)],
            [(4, "setting")],
        ),
        ([("concurrent: 4", "concurrent: four"), ("limit: 4", "limit: four")], [(3, "setting")]),
        ([("limit: 4", "limit: 8")], [(7, "setting")]),
    ],
)
def test_a_mistake_in_the_list_of_audiences_is_found(
    project: Path, changes: list[tuple[str, str]], expected: list[tuple[int, str]]
) -> None:
    env = GOOD[GOOD.index("  _env:") :].replace("\n  ", "\n    ")
    text = (
        f"_export:\n  audiences:\n  - {_ENTRY}\n  concurrent: 4\n  td: {{database: shop}}\n"
        "+each:\n  _parallel: {limit: 4}\n  for_each>: {audience: '${audiences}'}\n"
        "  _do:\n    py>: td_pinterest_op.many.Many.export\n"
        f"    result_settings: {{type: pinterest, audience_type: customer_list}}\n  {env}"
    )
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    assert expected == found_in(project, text)


def test_a_long_list_of_audiences_is_read_a_few_times_to_find_its_wrong_entry(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Mock(side_effect=read_entries)
    monkeypatch.setattr(built_exports, "read_entries", read)
    names = ("twice", *(f"n{number}" for number in range(100)), "twice")
    entries = "".join(f"  - {_ENTRY}\n".replace("vip", name) for name in names)
    env = GOOD[GOOD.index("  _env:") :]
    task = f"+all:\n  py>: td_pinterest_op.many.Many.export\n  result_settings: {{type: pinterest}}\n{env}"
    assert [(104, "setting")] == found_in(project, f"_export:\n  audiences:\n{entries}{task}")
    assert read.call_count <= 9


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("later_runs: add", "later_runs: Add", []),
        ("later_runs: add", "later_runs: REPLACE", []),
        ("later_runs: add", "later_runs: ${later}\n  engine: ${engine}", []),
        ("  later_runs: add\n", "", []),
        ("later_runs: add", "later_runs: ''", [(9, "setting")]),
        ("later_runs: add", "later_runs: replac", [(9, "setting")]),
        ("later_runs: add", "later_runs: add\n  activation_actions_table: ''", [(11, "setting")]),
        ("_table", "_table; SELECT 1", [(10, "setting")]),
        ("_table", "_table WHERE name = '${name}'", []),
        ("SELECT email FROM activation_actions_table", "''", [(10, "source")]),
        ("SELECT email FROM activation_actions_table", "activation.sql", []),
        ("ad_account_id:", "audience_id: '7'\n    ad_account_id:", []),
        ("ad_account_id:", "ad_acount_id:", [(13, "unknown-setting")]),
        ("ad_account_id: ${target.account}", "dry_run: perhaps", [(13, "setting")]),
        ("ad_account_id:", "columns: {mail: '${kind}'}\n    ad_account_id:", []),
        ("ad_account_id:", "action: replace_current_audience\n    ad_account_id:", [(13, "setting")]),
        ("ad_account_id:", "if_exists: Add\n    ad_account_id:", []),
        ("ad_account_id:", "if_exists: replace\n    ad_account_id:", [(13, "setting")]),
        ("\n    type: pinterest\n    ad_account_id: ${target.account}", " ${result_connection_settings}", []),
        (
            "\n    type: pinterest\n    ad_account_id: ${target.account}",
            " '{\"kind\": 1}'",
            [(11, "unknown-setting")],
        ),
    ],
)
def test_an_activation_is_checked_with_the_settings_that_it_has_without_a_console(
    project: Path, old: str, new: str, expected: list[tuple[int, str]]
) -> None:
    (project / "activation.sql").write_text("SELECT email FROM activation_actions_table")
    text = (
        "_export:\n  td: {database: shop}\n  target: {account: ''}\n\n"
        "# An activation of Audience Studio.\n\n+export:\n"
        "  py>: td_pinterest_op.activation.PinterestActivation\n  later_runs: add\n"
        "  query: SELECT email FROM activation_actions_table\n"
        "  result_settings:\n    type: pinterest\n    ad_account_id: ${target.account}\n"
    ) + GOOD[GOOD.index("  _env:") :]
    assert old in text
    assert expected == found_in(project, text.replace(old, new, 1))


def test_a_misspelt_secret_of_an_alert_is_found(project: Path) -> None:
    (project / "other.dig").write_text("+a: {http>: '${secret:slack.webhook}'}\n")
    assert [(27, "secret-name")] == found_in(project, f"{GOOD}\n+b: {{http>: '${{secret:slack.webhok}}'}}\n")
    assert [] == found_in(project, f"{GOOD}\n+b: {{http>: '${{secret:slack.webhook}}'}}\n")


def test_a_connection_of_the_connector_is_found_too(project: Path) -> None:
    text = CONNECTOR.replace("\t", "  ").replace("  result_settings:", "  result_connection: shop\n  result_settings:")
    assert [(10, "connector"), (11, "connector")] == found_in(project, text)[:2]


@pytest.mark.parametrize(
    ("action", "expected"), [("add_people_to", []), ("remove_people_from", [(22, "unused-setting")])]
)
def test_a_list_of_people_is_for_an_action_that_adds(
    project: Path, action: str, expected: list[tuple[int, str]]
) -> None:
    text = GOOD.replace("action: add_people_to", f"action: {action}").replace("audience_id_add_people", "audience_id")
    assert expected == found_in(project, text.replace("  _env:\n", "  job_id: '1'\n  suppress: SELECT 1\n  _env:\n"))


@pytest.mark.parametrize("sql", ["''", "SELECT 1"])
def test_a_list_of_people_has_no_effect_in_an_erasure(project: Path, sql: str) -> None:
    settings = GOOD[GOOD.index("    type:") : GOOD.index("  _env:")]
    text = GOOD.replace("export.PinterestExport", "erase.PinterestErase").replace(settings, "    ad_account_id: '1'\n")
    assert [] == found_in(project, text)
    assert [(17, "unused-setting")] == found_in(project, text.replace("  _env:\n", f"  suppress: {sql}\n  _env:\n"))


def test_a_list_needs_a_database(project: Path) -> None:
    text = GOOD.replace("  _env:\n", "  suppress: SELECT 1\n  _env:\n")
    assert [] == found_in(project, text)
    without = text.replace("    database: sandbox\n", "    engine: presto\n")
    assert [(10, "database"), (21, "database")] == found_in(project, without)


def test_a_folder_named_like_a_workflow_is_ignored(project: Path) -> None:
    (project / "folder.dig").mkdir()
    (project / "gone.dig").symlink_to(project / "nowhere.dig")
    assert [] == found_in(project, GOOD)


def test_a_misspelt_operator_is_checked_as_the_one_that_is_meant(project: Path) -> None:
    text = GOOD.replace("td_pinterest_op.export", "td_pintrest.export").replace('"549755885175"', '"account"')
    assert [(14, "class"), (17, "setting")] == found_in(project, text)


def test_a_retry_around_other_operators_gives_no_finding(project: Path) -> None:
    assert [] == found_in(project, f"{GOOD}\n+others:\n  _retry: 2\n  +mail:\n    mail>: {{data: done}}\n")


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ("echo>: done", []),
        ("mail>: {data: done}", ["retry"]),
        ("http>: https://alerts.example/", ["retry"]),
        ("td>: {data: SELECT 1}\n    insert_into: history", ["retry"]),
        ("td>: {data: INSERT INTO history SELECT 1}", ["retry"]),
    ],
)
def test_a_retry_around_a_task_with_side_effects_is_found(project: Path, other: str, expected: list[str]) -> None:
    indented = "".join(f"  {line}\n" for line in GOOD[GOOD.index("+export") :].splitlines())
    text = f"{GOOD[: GOOD.index('+export')]}+group:\n  _retry: 2\n{indented}  +other:\n    {other}\n"
    assert expected == [code for _, code in found_in(project, text)]


def test_an_image_of_another_task_shows_that_a_workflow_is_hosted(project: Path) -> None:
    text = GOOD.replace("  docker:\n    image: treasuredata/customscript-python:3.12.11-td0\n", "")
    assert [(11, "docker")] == found_in(project, f"{text}\n+other:\n  py>: a.b\n  docker: {{image: python}}\n")


def test_a_query_task_after_its_export_is_found(project: Path) -> None:
    start, query, export = GOOD.index("+query:"), GOOD.index("+export:"), len(GOOD)
    text = GOOD[:start] + GOOD[query:export] + "\n" + GOOD[start:query]
    assert [(9, "source")] == found_in(project, text)
    (project / "nightly.dig").write_text("# as export.dig does\n+exports:\n  call>: exported.dig\n")
    assert [(9, "source")] == found_in(project, text)
    (project / "nightly.dig").write_text("+people:\n  td>: {data: SELECT 1}\n+send:\n  call>: export\n")
    assert [] == found_in(project, text)


def _scheduled(schedule: str, action: str) -> str:
    head = f"timezone: UTC\n\nschedule:\n  {schedule}\n"
    return GOOD.replace("timezone: UTC\n", head).replace(
        '    action: add_people_to_current_audience\n    audience_id_add_people: "2542620905475"\n', action
    )


_CREATE = "    action: create_new_audience\n    audience_name: Shoppers\n"


_REPLACE = '    action: replace_current_audience\n    audience_id: "2542620905475"\n'


@pytest.mark.parametrize(
    ("schedule", "action", "expected"),
    [
        ("daily>: 07:00:00", _CREATE, ["create-scheduled"]),
        ("daily>: 07:00:00", _CREATE + "    if_exists: add\n", []),
        ("daily>: 07:00:00", _REPLACE, []),
        ("hourly>: 30:00", _REPLACE, ["replace-often"]),
        ("minutes_interval>: 30", _REPLACE, ["replace-often"]),
        ('cron>: "0 */6 * * *"', _REPLACE, ["replace-often"]),
        ('cron>: "0 6 * * *"', _REPLACE, []),
    ],
)
def test_an_action_that_does_not_fit_the_schedule_is_found(
    project: Path, schedule: str, action: str, expected: list[str]
) -> None:
    assert expected == [code for _, code in found_in(project, _scheduled(schedule, action))]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("${pinterest.records.sent} of ${pinterest.rows.invalid_by_reason}", []),
        ("${pinterest.summary.replace(/x/g, 'y')}", []),
        ("${typeof pinterest === 'undefined' ? 0 : pinterest.records.sent}", []),
        ("${pinterest_mirror.column} ${my.pinterest.people} pinterest.record", []),
        (
            "${pinterest.record.sent}",
            ["pinterest.record.sent: an export has no statistic record; did you mean records?"],
        ),
        (
            "${1 + pinterest.records.snt}",
            ["pinterest.records.snt: an export has no statistic snt; did you mean sent?"],
        ),
    ],
)
def test_a_figure_that_the_statistics_do_not_have_is_found(project: Path, template: str, expected: list[str]) -> None:
    file = project / "export.dig"
    file.write_text(f'{GOOD}\n+report:\n  echo>: "{template}"\n')
    assert expected == [finding.message for finding in check_file(file)]


def test_the_names_of_secrets_are_compared_with_those_of_other_workflows(project: Path) -> None:
    (project / "other.dig").write_text("+a:\n  echo>: ${secret:marketing.token}\n")
    assert [(25, "secret-name")] == found_in(project, GOOD.replace("pinterest.refresh_token}", "marketing.tokn}"))
    assert [] == found_in(project, GOOD.replace("pinterest.refresh_token}", "marketing.token}"))


def test_a_usual_name_of_a_secret_is_never_taken_for_a_mistake(project: Path) -> None:
    (project / "config").mkdir()
    (project / "config" / "environment.yml").write_text(GOOD[GOOD.index("    TD_API_KEY") :])
    included = GOOD[: GOOD.index("    TD_API_KEY")] + "    !include : config/environment.yml\n"
    assert [] == found_in(project, included)
    assert [(23, "secret-name")] == found_in(project, f"{included}    TOKEN: ${{secret:pinterest.refresh_tokn}}\n")


@pytest.mark.parametrize("name", ["pinterest_de.refresh_token", "eu.td.apikey", "pinterest.fr_refresh_token"])
def test_a_secret_of_a_task_of_its_own_is_not_compared_with_the_usual_names(project: Path, name: str) -> None:
    assert [] == found_in(project, f"{GOOD}\n+b: {{http>: 'https://a.example', headers: [a: '${{secret:{name}}}']}}\n")


_SETTINGS = GOOD[GOOD.index("  result_settings:") : GOOD.index("  _env:")]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ("", [(13, "setting")]),
        ("  result_settings: ${activation.settings}\n", []),
        ("  result_settings: type=pinterest\n", [(15, "setting")]),
        (
            '  result_settings: \'{"type": "pinterest", "ad_account_id": "1", "audience_type": "customer_list", '
            '"action": "add_people_to_current_audience", "audience_id": "2"}\'\n',
            [],
        ),
        ('  result_settings: \'{"type": "pinterest", "acton": "add"}\'\n', [(15, "setting"), (15, "unknown-setting")]),
    ],
)
def test_settings_as_one_text_are_checked(project: Path, settings: str, expected: list[tuple[int, str]]) -> None:
    assert expected == sorted(set(found_in(project, GOOD.replace(_SETTINGS, settings))))


@pytest.mark.parametrize(
    ("exported", "expected"),
    [
        ("ids: {account: '549755885175'}", []),
        ("ids: {account: account}", [(18, "setting")]),
        ("ids: {account: {one: '549755885175'}}", []),  # a mapping fills no template: only the run can say
        ("ids: {account: ['549755885175']}", []),
    ],
)
def test_a_template_is_filled_with_what_is_exported(
    project: Path, exported: str, expected: list[tuple[int, str]]
) -> None:
    text = GOOD.replace("_export:\n", f"_export:\n  {exported}\n").replace('"549755885175"', "${ids.account}")
    assert expected == found_in(project, text)


def test_values_that_only_a_run_knows_are_not_checked(project: Path) -> None:
    text = GOOD.replace('"2542620905475"', "${td.each.audience_id}").replace(
        "add_people_to_current_audience", "${what}"
    )
    assert [] == found_in(project, text)


def test_check_prints_a_line_for_each_finding(terminal: Terminal, project: Path) -> None:
    file = project / "export.dig"
    file.write_text(GOOD)
    assert Ran(code=0, out="", err="1 workflow: no findings\n") == terminal("check", file)
    file.write_text(CONNECTOR.replace("\t", "  "))
    ran = terminal("check", file)
    assert (1, "1 workflow: 5 findings\n") == (ran.code, ran.err)
    assert ran.out.startswith(f"{file}:10: connector: a td> task does not run this operator")
    assert 5 == len(ran.out.splitlines())
    assert (
        f"::error file={file},line=10,title=connector::a td> task" in terminal("check", "--format", "github", file).out
    )
    assert "plain-secret" == json.loads(terminal("check", "--json", file).out)[1]["code"]
    assert (1, "") == (terminal("check", "--quiet", file).code, terminal("check", "--quiet", file).out)


def test_check_of_a_missing_file_is_an_error(terminal: Terminal, tmp_path: Path) -> None:
    assert terminal("check", tmp_path / "no.dig").failed("no.dig cannot be opened: No such file or directory")
