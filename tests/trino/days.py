"""Days of the mirror's statements on a Trino server, with people who are made up there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.dig.template import fill
from tests.trino.client import Cost, run

QUERIES = Path(__file__).parent.parent.parent / "workflows" / "queries"
LEDGER = "pinterest_ledger"
BEGIN = 1_795_000_000
_DAY = 86_400
_PEOPLE = """SELECT 'person' || cast({first} + thousands * 1000 + ones AS varchar) || '@shop.example' AS email
FROM UNNEST(sequence(0, {thousands} - 1)) AS a (thousands) CROSS JOIN UNNEST(sequence(0, 999)) AS b (ones)"""
# What a step leaves in a table of its session.
_TABLES = {"mirror_hashed": "pinterest_digests", "mirror_changes": "pinterest_changes"}


@dataclass(slots=True, kw_only=True)
class Days:
    """`people` (a multiple of 1,000) are followed; each day `share` of them leave, and as many join."""

    server: str
    people: int
    share: float = 0.01
    day: int = 0
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
        costs = {name: self._step(name) for name in _steps()}
        if self.results["entries"] > 3 * self.results["people"] + 100:
            costs |= {name: self._step(name) for name in ("mirror_state", *_compaction())}
        for table in ("pinterest_people", *_TABLES.values()):
            self._run(f"DROP TABLE IF EXISTS {table}_{self._stage}")
        return costs

    @property
    def ledger(self) -> int:
        """How many rows it has."""
        return int(run(self.server, f"SELECT count(*) AS n FROM {LEDGER}").rows[0]["n"])

    def places(self) -> dict[str, int]:
        """How often the plan of each statement names a table, at most: one more day, on which one person stays."""
        self.day += 1
        self._create("pinterest_people", "SELECT 'a@shop.example' AS email")
        found = {}
        # These tables have no DELETE, so mirror_forget.sql cannot be explained; it names the ledger once.
        for name in (*_steps(), "mirror_state", "mirror_compact", "mirror_compacted", "mirror_base"):
            rows = run(self.server, f"EXPLAIN {self._text(name)}").rows
            named = re.findall(r"table = (memory:\S+?)[,\]]", str(rows))
            found[name] = max(map(named.count, named), default=0)
            self._step(name)
        return found

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
            },
            "mirror_audience": "1",
            "mirror_stage": self._stage,
            "pinterest_mirror": {
                "customer_list_id": "5",
                "people": 0,
                "columns": {"email": '"email"', "maid": "CAST(NULL AS varchar)", "idfa": "CAST(NULL AS varchar)"},
            },
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


def _steps() -> Iterator[str]:
    yield from ("mirror_hashed", "mirror_state", "mirror_changes", "mirror_figures", "mirror_plan", "mirror_which")
    yield "mirror_settle"


def _compaction() -> Iterator[str]:
    yield from ("mirror_compact", "mirror_compacted", "mirror_base", "mirror_forget")
