"""Whom the mirror withholds in the warehouse: opt-outs, consents and a control group, as the operator does."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from td_pinterest_op.settings.structures import Control
from td_pinterest_op.withholding.people import in_control
from tests.exporting import digest, digests, people
from tests.mirror.days import DATABASE, LEDGER, World

DEVICE = "5eed0123-4567-89ab-cdef-{:012d}".format
Row = dict[str, Any]


@pytest.fixture
def audience_id(mirrored: World) -> str:
    """An audience that the mirror may fill with anybody."""
    found = mirrored.audience()
    mirrored.configure(min_records=0, max_leave_ratio="1.0")
    return found


def lists(world: World, **rows: Sequence[Row]) -> None:
    """Switch these lists on; no rows: a list of nobody."""
    for name, of_list in rows.items():
        columns = list(of_list[0]) if of_list else ["email"]
        world.td.create(DATABASE, name, [*of_list, dict.fromkeys(columns, "x")])
        last = " OR ".join(f"{column} <> 'x'" for column in columns)
        (world.project / "queries" / f"{name}.sql").write_text(f"SELECT * FROM {name} WHERE {last}\n")
        world.configure(**{name: "true"})


def wants(world: World, rows: Sequence[Row]) -> None:
    """From now on the query finds these rows."""
    world.td.create(DATABASE, "people", list(rows))
    names = ", ".join(rows[0])
    (world.project / "queries" / "people.sql").write_text(f"SELECT {names} FROM people\n")


def said(attempt: Any) -> str:
    return " ".join(attempt.said.split())


def test_a_member_who_opts_out_leaves_at_the_next_run_and_nobody_else_does(mirrored: World, audience_id: str) -> None:
    mirrored.wants(people(20))
    assert mirrored.run(0).succeeded
    first, second, *_ = people(2)
    lists(mirrored, suppressed=[{"email": f" {first.upper()}\t"}, {"email": digest(second).upper()}])
    with mirrored.sent() as sent:
        ran = mirrored.run(1)
    assert ran.succeeded, ran.said
    assert digests(18, first=2) == mirrored.members(audience_id)
    assert {"REMOVE": 2} == sent
    assert "finds 18 people (of 18 values, 0 are rejected: none; withheld: suppressed 2)" in said(ran)
    assert {"people", "suppressed", LEDGER} == {
        name for (name,) in mirrored.sql("SELECT table_name FROM duckdb_tables()")
    }


def test_only_who_consents_is_sent(mirrored: World, audience_id: str) -> None:
    mirrored.wants(people(20))
    lists(mirrored, consented=[{"email": person} for person in [*people(5), "else@shop.example"]])
    ran = mirrored.run(0)
    assert ran.succeeded, ran.said
    assert digests(5) == mirrored.members(audience_id)
    assert "withheld: without_consent 15" in said(ran)


@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        ("suppressed", [], "queries/suppressed.sql has no rows. Nothing was sent. Correct it, or set allow_empty_sup"),
        ("consented", [], "queries/consented.sql has no rows. Nothing was sent. Correct it"),
        ("suppressed", [{"email": "n/a"}], "queries/suppressed.sql holds no identifier (placeholder 1). Nothing was"),
        ("suppressed", [{"city": "Oslo"}], "[queries/suppressed.sql]"),
        (
            "suppressed",
            [{"email": person} for person in people(20)],
            "everybody whom the query finds is withheld (suppressed 20). Nothing was sent. Correct queries/people.sql "
            "or queries/suppressed.sql",
        ),
        (
            "suppressed",
            [{"email": "SOFI\u03a3@shop.example"}, {"email": "a@b.cc"}],
            "1 addresses that are unsure",
        ),
    ],
)
def test_a_list_that_cannot_be_right_stops_the_run_before_it_sends(
    mirrored: World, audience_id: str, name: str, rows: list[Row], message: str
) -> None:
    mirrored.wants(people(20))
    assert mirrored.run(0).succeeded
    lists(mirrored, **{name: rows})
    with mirrored.sent() as sent:
        ran = mirrored.run(1)
    assert not ran.succeeded
    assert message in said(ran)
    assert not sent


def test_an_opt_out_list_may_be_empty_where_it_is_allowed(mirrored: World, audience_id: str) -> None:
    mirrored.wants(people(20))
    lists(mirrored, suppressed=[])
    mirrored.configure(allow_empty_suppress="true")
    ran = mirrored.run(0)
    assert ran.succeeded, ran.said
    assert digests(20) == mirrored.members(audience_id)


@pytest.mark.parametrize("blank", ["", '""', "{percent: 0, salt: x}"])
def test_a_control_group_that_is_named_but_blank_or_wrong_stops_the_run(
    mirrored: World, audience_id: str, blank: str
) -> None:
    mirrored.wants(people(20))
    mirrored.configure(control=blank)
    ran = mirrored.run(0)
    assert not ran.succeeded
    assert "control in config/mirror.yml" in ran.said


def test_a_member_who_comes_into_the_control_group_leaves_with_each_identifier(
    mirrored: World, audience_id: str
) -> None:
    rows: list[Row] = [
        {"email": person, "maid": DEVICE(n % 30), "customer_id": n} for n, person in enumerate(people(40))
    ]
    wants(mirrored, rows)
    mirrored.configure(control='{percent: 10, salt: "it\'s", by: customer_id}')
    assert mirrored.run(0).succeeded
    smaller = mirrored.members(audience_id)
    mirrored.configure(control='{percent: "40", salt: "it\'s", by: customer_id}')
    lists(mirrored, suppressed=[{"maid": DEVICE(5).upper()}])
    ran = mirrored.run(1)
    assert ran.succeeded, ran.said
    chosen = in_control(
        Control(percent=Decimal(40), salt="it's", by="customer_id"), [b"%d" % row["customer_id"] for row in rows]
    )
    lost = {row[name] for row, is_chosen in zip(rows, chosen, strict=True) for name in ("email", "maid") if is_chosen}
    lost |= {row[name] for row in rows for name in ("email", "maid") if row["maid"] == DEVICE(5)}
    every = {row[name] for row in rows for name in ("email", "maid")}
    expected = {digest(value) for value in every - lost}
    assert expected == mirrored.members(audience_id)
    assert expected < smaller
    assert "withheld: control" in said(ran)
