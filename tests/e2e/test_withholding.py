"""Who is withheld: opt-outs, missing consent, the control group, and values of an unexpected form.

The two tables run wherever people are withheld: in the operator, on digests of the warehouse, and in the mirror's SQL.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from td_pinterest_op.errors import JobError, LimitError, SettingsError
from tests.e2e.audiences import ADD, REMOVE, REPLACE, is_in_control, members_of, settings_of
from tests.exporting import Services, digest, digests, people

DATABASE: dict[str, Any] = {"database": "crm"}


@pytest.fixture(autouse=True)
def shared_database(services: Services) -> None:
    services.td.create("crm", "seeds", "SELECT 1 AS one")


def values_query(values: Iterable[str | None], column: str = "email") -> str:
    """Return a query with these values as its rows."""
    rows = ", ".join("(CAST(NULL AS varchar))" if value is None else f"('{value}')" for value in values)
    return f"SELECT * FROM (VALUES {rows}) AS t({column})"


def empty_query(column: str = "email") -> str:
    return f"SELECT * FROM (VALUES ('x')) AS t({column}) WHERE 1 = 0"


def withheld_of(stored: dict[str, Any]) -> tuple[int, int, int]:
    counts = stored["records"]["withheld"]
    return counts["suppressed"], counts["without_consent"], counts["control"]


LEVELS: Mapping[str, Mapping[str, Any]] = {
    "operator": {"action": ADD},
    "operator, by rows": {"action": ADD, "records": "rows"},
    "warehouse": {"action": ADD, "hash_in": "warehouse"},
    "mirror": {"action": "mirror_current_audience", "min_records": 0},
}
Rows = Sequence[Mapping[str, Any]]
A, B, C, D = people(4)
DEVICE = "5eed0001-aaaa-4bbb-8ccc-{:012d}".format
CONTROL = {"percent": 50, "salt": "spring", "by": "id"}
OUT, IN = (next(n for n in range(100) if is_in_control(str(n), 50) is wanted) for wanted in (False, True))


def values_of(columns: str, *values: tuple[Any, ...]) -> Rows:
    return [dict(zip(columns.split(), row, strict=True)) for row in values]


@dataclass(frozen=True, kw_only=True)
class Case:
    """Rows of people and lists (or SQL), the identifiers that are sent, and how many each reason withholds.

    `withheld`: suppressed, without consent, in the control group. `keyless`: rows without a key for the control group.
    """

    people: Rows | str
    suppress: Rows = ()
    consent: Rows = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    sent: set[str]
    withheld: tuple[int, int, int]
    keyless: int = 0


SHARED_DEVICE = values_of(
    "email maid",
    *((A, DEVICE(1)), (B, DEVICE(1)), (None, DEVICE(1)), (C, DEVICE(2)), (None, DEVICE(3)), (C, DEVICE(3))),
)
WITHOUT_KEYS = values_of(
    "email maid id", (A, DEVICE(1), None), (B, DEVICE(1), 1), (C, DEVICE(2), None), (None, DEVICE(2), 2)
)
REJECTED_DEVICES = values_of("email maid", (A, "no-device"), (B, None), (C, "n/a"), (None, "no-device"))
CASES = {
    "opt-outs in other spellings": Case(
        people=values_of("email", *((person,) for person in people(9))),
        suppress=values_of("email", (f" {A.upper()}\t",), (digest(B).upper(),), ("nobody@shop.example",)),
        consent=values_of("email", *((person,) for person in [*people(6), "else@shop.example"])),
        sent={*people(4, first=2)},
        withheld=(2, 3, 0),
    ),
    "a suppressed person takes the other identifiers along": Case(
        people=SHARED_DEVICE,
        suppress=values_of("email", (A,)),
        sent={B, C, DEVICE(2), DEVICE(3)},
        withheld=(2, 0, 0),
    ),
    "an identifier of the control group is sent for nobody": Case(
        people=values_of("email id", (A, OUT), (B, OUT), (B, IN)),
        settings={"control": CONTROL},
        sent={A},
        withheld=(0, 0, 1),
    ),
    "a suppressed row without a key shields what it holds": Case(
        people=WITHOUT_KEYS,
        suppress=values_of("email", (A,)),
        settings={"control": {**CONTROL, "percent": "0.01"}},
        sent={B, DEVICE(2)},
        withheld=(1, 0, 0),
        keyless=2,
    ),
    "values that are rejected for the same reason give no consent": Case(
        people=REJECTED_DEVICES,
        consent=values_of("email maid", (B, None), (D, "n0-device")),
        sent={B},
        withheld=(0, 2, 0),
    ),
    "values that are rejected for the same reason suppress nobody": Case(
        people=REJECTED_DEVICES,
        suppress=values_of("email maid", (B, None), (D, "n0-device")),
        sent={A, C},
        withheld=(1, 0, 0),
    ),
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", CASES)
def test_exactly_the_people_who_are_not_withheld_are_sent(services: Services, level: str, name: str) -> None:
    case = CASES[name]
    settings = {**LEVELS[level], "audience_id": services.audience(), "ignore_invalid_records": True, **case.settings}
    queries: dict[str, Any] = {}
    for task_key, table in {"query": case.people, "suppress": case.suppress, "consent": case.consent}.items():
        if table:
            services.td.create("crm", f"of_{task_key}", table)
            queries[task_key] = f"SELECT * FROM of_{task_key}"
    stored = services.export(settings, **queries, **DATABASE)
    assert members_of(services, settings) == set(map(digest, case.sent))
    assert stored["rows"]["invalid_by_reason"]["no_control_key"] == case.keyless
    if "records" not in settings:  # which count rows, not identifiers
        assert withheld_of(stored) == case.withheld


BOTH = ("suppress", "consent")
UNUSABLE = [
    *((BOTH, blank, "{}: is blank", LEVELS) for blank in ("", " \n")),
    (
        BOTH,
        f"{values_query([A])}; SELECT 1",
        "{} has several statements, but only the result of one",
        LEVELS,
    ),
    (BOTH, "SELECT nothing", "[the query of `{}`]", LEVELS),
    (BOTH, "SELECT 'x' AS name", "there is no column", LEVELS),
    (BOTH, empty_query(), "`{}` has no rows. Nothing was sent", LEVELS),
    (BOTH, values_query([None, None]), "`{}` contains no identifier (null 2). Nothing was sent", LEVELS),
    (BOTH, values_query(["nobody", "n/a"]), "`{}` contains no identifier (not_an_email 1, placeholder 1)", LEVELS),
    (BOTH, values_query([DEVICE(1)], "idfa"), "`{}` selects idfa, but the people's query selects email", LEVELS),
    (BOTH, values_query([*sorted(digests(3)), A]), "expect_values is plain, but 3 of 4 valid", LEVELS),
    (BOTH[:1], values_query(people(3)), "3 records (suppressed 3)", LEVELS),
    (
        BOTH[:1],
        values_query(["SOFI\u03a3@shop.example", A]),
        "`{}` contains 1 address that the warehouse cannot hash",
        ["mirror"],
    ),
    (BOTH[:1], values_query(["SOFI\u03a3@shop.example", A]), "or set hash_in: operator", ["warehouse"]),
    (BOTH[:1], "blank.sql", "{} is no query, so it is not issued", ["operator"]),
    (BOTH[:1], "empty.sql", "{} is no query, so it is not issued", ["operator"]),
    *(
        (BOTH[:1], file, f"{{}}: {message}", ["operator"])
        for file, message in {
            "queries/NONE.SQL": "there is no file queries/NONE.SQL in ",
            "../people.sql": "../people.sql is outside the project",
            "/people.sql": "/people.sql is outside the project",
            "template.sql": "template.sql contains a template",
            "latin.sql": "latin.sql cannot be read (it is not UTF-8 text)",
        }.items()
    ),
]


@pytest.mark.parametrize(
    ("level", "name", "sql", "message"),
    [
        # Both lists are read by the same code.
        (level, name, sql, text)
        for names, sql, text, levels in UNUSABLE
        for name in names
        for level in levels
        if name == "suppress" or level == "operator"
    ],
)
def test_invalid_list_stops_the_export_before_it_writes(
    services: Services,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    level: str,
    name: str,
    sql: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("blank.sql").write_text(" \n")
    Path("empty.sql").touch()
    Path("latin.sql").write_bytes(b"SELECT email FROM caf\xe9")
    Path("template.sql").write_text("SELECT email FROM ${table}")
    settings = {**LEVELS[level], "audience_id": services.audience(), "expect_values": "plain"}
    with pytest.raises((JobError, LimitError, SettingsError)) as caught:
        services.export(settings, query=values_query(people(3)), **DATABASE | {name: sql})
    assert message.format(name) in str(caught.value)
    assert services.pinterest.calls.writes() == []


@pytest.mark.parametrize("level", ["operator", "warehouse"])
def test_person_who_opts_out_while_the_query_runs_is_not_sent(
    services: Services, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    services.td.create("crm", "people", values_of("email", (A,), (B,), (C,)))
    services.td.create("crm", "opt_outs", values_of("email", (A,)))

    class Requests(list[Any]):
        def append(self, request: Any) -> None:
            super().append(request)
            if "FROM people" in request.form.get("query", ""):
                services.td.create("crm", "opt_outs", values_of("email", (A,), (B,)))

    monkeypatch.setattr(services.td, "requests", Requests())
    settings = {**LEVELS[level], "audience_id": services.audience()}
    services.export(settings, query="SELECT * FROM people", suppress="SELECT * FROM opt_outs", **DATABASE)
    assert members_of(services, settings) == {digest(C)}


@pytest.mark.parametrize(
    ("engine", "hash_in", "asked"), [("presto", "operator", 3), ("hive", "operator", 2), ("presto", "warehouse", 4)]
)
def test_columns_of_a_list_are_asked_before_the_people_where_the_engine_allows_it(
    services: Services, engine: str, hash_in: str, asked: int
) -> None:
    settings = settings_of(services, ADD) | {"hash_in": hash_in}
    task: dict[str, Any] = {"query": values_query(people(3)), "suppress": values_query(people(1)), "engine": engine}
    services.export(settings, **task, **DATABASE)
    assert members_of(services, settings) == digests(2, first=1)
    last, of_people, *columns = services.td.jobs.all()
    assert task["suppress"] in last.query
    assert task["query"] in of_people.query
    assert len(columns) == asked - 2


@pytest.mark.parametrize(("name", "count"), [("suppress", 2), ("consent", 1)])
def test_list_may_be_a_file_and_the_columns_setting_may_name_a_column_of_it_only(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, count: int
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "listed.sql").write_text(values_query(people(1), "Mail"))
    settings = settings_of(services, ADD) | {"columns": {"mail": "email"}}
    task: dict[str, Any] = {"job_id": services.job(people(3)), name: "listed.sql", **DATABASE}
    assert services.export(settings, **task)["records"]["sent"] == count
    with pytest.raises(JobError, match='there is no column "male", which `columns` names'):
        services.export(settings | {"columns": {"mail": "email", "male": "email"}}, **task)


def test_invalid_values_in_lists_match_nobody_and_cause_one_warning(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_of(services, ADD)
    services.export(
        settings,
        job_id=services.job(people(2)),
        suppress=values_query([people(1)[0], "nobody", "", None]),
        consent=values_query([*people(2), "n/a"]),
        **DATABASE,
    )
    (warning,) = [text for text in caplog.messages if "not valid identifiers" in text]
    assert warning.endswith("suppress: not_an_email 1, empty 1, null 1; consent: placeholder 1")
    assert people(1)[0] not in caplog.text


@pytest.mark.parametrize(
    ("name", "of_list", "reason"),
    [("suppress", people(1), "suppressed"), ("consent", people(2), "without_consent")],
)
def test_plan_counts_withheld_people_and_warns_that_nobody_is_removed(
    services: Services, caplog: pytest.LogCaptureFixture, name: str, of_list: list[str], reason: str
) -> None:
    caplog.set_level("INFO")
    settings = settings_of(services, ADD) | {"dry_run": True}
    task = {name: values_query(of_list)} | DATABASE
    stored = services.export(settings, job_id=services.job(people(3)), **task)
    assert f"withheld  1 record ({reason} 1)" in caplog.text
    assert "withheld people who are already in the audience remain in it: pinterest_erasure.dig" in caplog.text
    assert f"nothing was written; 1 record ({reason} 1) withheld." in stored["summary"]
    assert f"job {stored['lists'][name]} issued (presto on database {DATABASE['database']}): {name}" in caplog.text


def test_empty_list_may_be_allowed_for_opt_outs_only(services: Services) -> None:
    settings = settings_of(services, ADD) | {"allow_empty_suppress": True}
    job = services.job(people(3))
    stored = services.export(settings, job_id=job, suppress=empty_query(), **DATABASE)
    assert (stored["records"]["sent"], withheld_of(stored)) == (3, (0, 0, 0))
    with pytest.raises(LimitError, match="`consent` has no rows"):
        services.export(settings, job_id=job, consent=empty_query(), **DATABASE)
    for values in ([None], ["n/a", ""]):  # only a list without rows may be empty
        with pytest.raises(LimitError, match=r"`suppress` contains no identifier .*Correct its query "):
            services.export(settings, job_id=job, suppress=values_query(values), **DATABASE)


@pytest.mark.parametrize("allow_empty", [True, False])
def test_withholding_everybody_is_an_error(services: Services, allow_empty: bool) -> None:
    settings = settings_of(services, REPLACE, people(5)) | {"allow_empty": allow_empty}
    job = services.job(people(3))
    with pytest.raises(
        LimitError, match=r"no records are left to send: 3 records \(suppressed 2, without_consent 1\) withheld"
    ):
        services.export(
            settings, job_id=job, suppress=values_query(people(2)), consent=values_query(people(2)), **DATABASE
        )
    with pytest.raises(
        LimitError,
        match=r"\(without_consent 3\) withheld\. Nothing was sent\. Check the queries of `suppress` and `consent`",
    ):
        services.export(settings, job_id=job, consent=values_query(people(2, first=5)), **DATABASE)
    assert services.pinterest.calls.writes() == []


@pytest.mark.parametrize(
    ("action", "expected", "plain", "hashed", "message"),
    [
        (ADD, "plain", 0, 200, "expect_values is plain, but 200 of 200 valid values are not. Nothing"),
        (REMOVE, "plain", 197, 3, "but 3 of 200 valid values are not. Nothing"),
        (ADD, "hashed", 3, 197, "but 3 of 200 valid values are not. Nothing"),
        (ADD, "plain", 198, 2, None),
        (REMOVE, "hashed", 2, 198, None),
        (ADD, "any", 100, 100, None),
    ],
)
def test_more_than_one_percent_of_unexpected_values_stops_the_export(
    services: Services, action: str, expected: str, plain: int, hashed: int, message: str | None
) -> None:
    values = [*people(plain), *sorted(digests(hashed, first=1000))]
    settings = settings_of(services, action) | {"expect_values": expected}
    if message is None:
        stored = services.export(settings, job_id=services.job(values))
        assert stored["values"] == {"plain": plain, "hashed": hashed}
        return
    with pytest.raises(LimitError) as caught:
        services.export(settings, job_id=services.job(values))
    assert message in str(caught.value)
    assert services.pinterest.calls.writes() == []
