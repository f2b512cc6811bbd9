"""Days of the mirror's statements on a Trino server, with people who are made up there."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from td_pinterest_op.settings.structures import Control
from td_pinterest_op.stats import CONTROL, SUPPRESSED, WITHHELD, WITHOUT_CONSENT
from td_pinterest_op.withholding.people import in_control
from td_pinterest_op.withholding.sql import LISTS, columns_of, control_of
from tests.dig.template import fill
from tests.trino.client import Cost, run

QUERIES = Path(__file__).parent.parent.parent / "workflows" / "queries"
LEDGER = "pinterest_ledger"
BEGIN = 1_795_000_000
_DAY = 86_400
_PEOPLE = """SELECT number, 'person' || cast(number AS varchar) || '@shop.example' AS email FROM (
  SELECT {first} + thousands * 1000 + ones AS number
  FROM UNNEST(sequence(0, {thousands} - 1)) AS a (thousands) CROSS JOIN UNNEST(sequence(0, 999)) AS b (ones))"""
# Every twentieth opted out, and as many whom the people's query does not find; nine of ten consented.
_LISTS = {
    "pinterest_suppressed": "SELECT ' ' || upper(CASE WHEN number % 20 = 1 THEN 'x' ELSE '' END || email) AS email "
    "FROM {people} WHERE number % 20 < 2",
    "pinterest_consented": "SELECT to_hex(sha256(to_utf8(email))) AS email FROM {people} WHERE number % 10 <> 2",
}
_CONTROL = Control(percent=Decimal(10), salt="it's spring", by="number")
# What a step leaves in a table of its session.
_TABLES = {
    "mirror_hashed": "pinterest_digests",
    "mirror_listed": "pinterest_listed",
    "mirror_persons": "pinterest_persons",
    "mirror_withheld": "pinterest_digests",
    "mirror_changes": "pinterest_changes",
}


@dataclass(slots=True, kw_only=True)
class Days:
    """`people` (a multiple of 1,000) are followed; each day `share` of them leave, and as many join."""

    server: str
    people: int
    share: float = 0.01
    day: int = 0
    withholds: bool = False
    results: dict[str, Any] = field(default_factory=dict)

    def begin(self) -> None:
        """An empty ledger."""
        self._run(f"DROP TABLE IF EXISTS {LEDGER}")
        self._run(self._text("mirror_setup"))

    def run(self) -> dict[str, Cost]:
        """The statements of the next day, from hashing to settling, and their costs by name."""
        self.day += 1
        people = _PEOPLE.format(first=int(self.day * self.people * self.share), thousands=self.people // 1000)
        self._create("pinterest_people", people)
        self._create_lists()
        costs = {name: self._step(name) for name in self._steps()}
        if self.results["entries"] > 3 * self.results["people"] + 100:
            costs |= {name: self._step(name) for name in ("mirror_state", *_compaction())}
        for table in ("pinterest_people", *_LISTS, *_TABLES.values()):
            self._run(f"DROP TABLE IF EXISTS {table}_{self._stage}")
        return costs

    @property
    def listed(self) -> int:
        """How many values the lists of a day hold."""
        return self.people if self.withholds else 0

    def withheld(self) -> tuple[dict[str, int], dict[str, int]]:
        """How many people the last day has withheld, by reason, and how many it should have."""
        first = int(self.day * self.people * self.share)
        numbers = range(first, first + self.people)
        chosen = in_control(_CONTROL, (b"%d" % number for number in numbers))
        reasons = Counter(
            SUPPRESSED if number % 20 == 0 else WITHOUT_CONSENT if number % 10 == 2 else CONTROL
            for number, is_chosen in zip(numbers, chosen, strict=True)
            if number % 20 == 0 or number % 10 == 2 or is_chosen
        )
        return {why: self.results[why] for why in WITHHELD}, dict(reasons)

    @property
    def ledger(self) -> int:
        """How many rows it has."""
        return int(run(self.server, f"SELECT count(*) AS n FROM {LEDGER}").rows[0]["n"])

    def places(self) -> dict[str, int]:
        """How often the plan of each statement reads a table: one more day, on which a thousand stay."""
        self.day += 1
        self._create("pinterest_people", _PEOPLE.format(first=0, thousands=1))
        self._create_lists()
        found = {}
        # These tables have no DELETE, so mirror_forget.sql cannot be explained; it names the ledger once.
        for name in (*self._steps(), "mirror_state", "mirror_compact", "mirror_compacted", "mirror_base"):
            found[name] = places(self.server, self._text(name))
            self._step(name)
        return found

    def _create_lists(self) -> None:
        for table, query in _LISTS.items() if self.withholds else ():
            self._create(table, query.format(people=f"pinterest_people_{self._stage}"))

    def _steps(self) -> Iterator[str]:
        yield "mirror_hashed"
        if self.withholds:
            yield from ("mirror_listed", "mirror_lists", "mirror_persons", "mirror_withheld")
        yield from ("mirror_state", "mirror_changes", "mirror_figures", "mirror_plan", "mirror_which", "mirror_settle")

    @property
    def _stage(self) -> str:
        return f"1_{self.day}"

    def _create(self, table: str, query: str) -> Cost:
        self._run(f"DROP TABLE IF EXISTS {table}_{self._stage}")
        return self._run(f"CREATE TABLE {table}_{self._stage} AS {query}")

    def _step(self, name: str) -> Cost:
        text = self._text(name)
        if name in _TABLES:
            return self._create(_TABLES[name], text)
        return self._forget(text) if name == "mirror_forget" else self._run(text)

    def _forget(self, text: str) -> Cost:
        """These tables have no DELETE: what stays is written anew."""
        gone = text.split("WHERE ")[1]
        for into, query in (("kept", f"SELECT * FROM {LEDGER} WHERE NOT ({gone})"), (LEDGER, "SELECT * FROM kept")):
            self._run(f"DROP TABLE IF EXISTS {into}")
            cost = self._run(f"CREATE TABLE {into} AS {query}")
        return cost

    def _text(self, name: str) -> str:
        text = fill((QUERIES / f"{name}.sql").read_text(), self._params)
        # The days pass on the engine as well.
        return re.sub(r"\bnow\(\)", f"from_unixtime({BEGIN + self.day * _DAY})", text)

    @property
    def _params(self) -> dict[str, Any]:
        return {
            "mirror": {
                "ledger": LEDGER,
                "min_records": 1,
                "max_leave_ratio": 1.0,
                "resend_days": 30,
                "adopt": False,
                "begin": "replace",
                "rebuild": False,
                "allow_empty_suppress": False,
            },
            "mirror_audience": "1",
            "mirror_stage": self._stage,
            "pinterest_mirror": {
                "customer_list_id": "5",
                "people": 0,
                "columns": columns_of(["email"], key='"number"' if self.withholds else None),
                "control": control_of(_CONTROL, '"number"'),
                **{name: columns_of(["email"]) for name in LISTS},
            },
            **{f"mirror_{name}": "true" for name in LISTS},
            "pinterest": {"customer_list_id": "5"},
            "target": {"ad_account_id": "7"},
            "session_uuid": f"session {self.day}",
            "td": {"last_results": self.results},
        }

    def _run(self, statement: str) -> Cost:
        done = run(self.server, statement)
        if done.rows and not re.match(r"[\s\S]*(INSERT INTO|CREATE TABLE|DELETE FROM|DROP TABLE)", statement):
            self.results = done.rows[0]
            if self.results.get("problem"):
                raise RuntimeError(self.results["problem"])
        return done.cost


def places(server: str, statement: str) -> int:
    """How often the plan of a statement reads a table, whichever."""
    named = re.findall(r"table = (memory:\S+?)[,\]]", str(run(server, f"EXPLAIN {statement}").rows))
    return max(map(named.count, named), default=0)


def _compaction() -> Iterator[str]:
    yield from ("mirror_compact", "mirror_compacted", "mirror_base", "mirror_forget")
