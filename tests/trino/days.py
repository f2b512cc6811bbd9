"""Runs days of the mirror on a Trino server: the operator's statements, with people generated there."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

from td_pinterest_op.audiences.actions import parse_export_settings
from td_pinterest_op.mirroring.ledger import Ledger
from td_pinterest_op.mirroring.mirror_jobs import MirrorJobs
from td_pinterest_op.mirroring.mirror_run import MirrorWarehouseSteps
from td_pinterest_op.settings.structures import ControlGroup
from td_pinterest_op.settings.table import CONSENT_LIST_NAME, SUPPRESS_LIST_NAME
from td_pinterest_op.stats import IN_CONTROL_GROUP, SUPPRESSED, WITHHELD_REASONS, WITHOUT_CONSENT, Stats
from td_pinterest_op.treasure_data.job import Job, JobOrQuery
from td_pinterest_op.treasure_data.tables import ListedTable
from td_pinterest_op.treasure_data.td_api import TreasureData
from td_pinterest_op.trino import hashed_query
from td_pinterest_op.withholding.people import assign_control
from tests.trino.client import Cost, StatementResult, run
from tests.unit.settings import test_parse

QUERIES = Path(__file__).parent.parent.parent / "workflows" / "queries"
LEDGER = "pinterest_ledger"
DATABASE = "default"
BEGIN = 1_795_000_000
_DAY = 86_400
_PEOPLE = """SELECT number, 'person' || cast(number AS varchar) || '@shop.example' AS email FROM (
  SELECT {first} + thousands * 1000 + ones AS number
  FROM UNNEST(sequence(0, {thousands} - 1)) AS a (thousands) CROSS JOIN UNNEST(sequence(0, 999)) AS b (ones))"""
# Every twentieth opted out, and as many whom the people's query does not find; nine of ten consented.
_LISTS = {
    SUPPRESS_LIST_NAME: "SELECT ' ' || upper(CASE WHEN number % 20 = 1 THEN 'x' ELSE '' END || email) AS email "
    "FROM people WHERE number % 20 < 2",
    CONSENT_LIST_NAME: "SELECT to_hex(sha256(to_utf8(email))) AS email FROM people WHERE number % 10 <> 2",
}
_CONTROL = ControlGroup(percent=Decimal(10), salt="it's spring", by="number")


@dataclass(kw_only=True)
class TrinoJobs(MirrorJobs):
    """Issues statements to a Trino server; `now` is its time. `costs` are by purpose of a statement.

    `places`, too, if `explains`: how often the plan of a statement reads a table.
    """

    server: str
    now: int
    explains: bool = False
    costs: dict[str, Cost] = field(default_factory=dict)
    places: dict[str, int] = field(default_factory=dict)

    def run(self, purpose: str, statement: str, *, embedded_query: JobOrQuery | None = None) -> str:
        if statement.startswith("DELETE"):
            self._emulate_delete(purpose, statement)
        else:
            self._run_statement(purpose, statement)
        return purpose

    def read_rows(self, purpose: str, statement: str) -> list[list[list[Any]]]:
        done = self._run_statement(purpose, statement)
        columns = [[encode_text(row[name]) for row in done.rows] for name, _ in done.columns]
        return [columns] if done.rows else []

    def read_rows_as_dicts(self, purpose: str, statement: str) -> list[dict[str, Any]]:
        return self._run_statement(purpose, statement).rows

    def list_tables(self) -> dict[str, ListedTable]:
        if self.now == BEGIN + _DAY:
            return {}
        columns = run(self.server, f"SELECT * FROM {LEDGER} LIMIT 0").columns
        return {LEDGER: ListedTable(name=LEDGER, schema=json.dumps(columns))}

    def drop_tables(self, tables: Iterable[str]) -> None:
        for table in tables:
            run(self.server, f"DROP TABLE {table}")

    def _run_statement(self, purpose: str, statement: str) -> StatementResult:
        # The statements use the fake time too.
        text = re.sub(r"\bnow\(\)", f"from_unixtime({self.now})", self._build_source(purpose, statement).query)
        if self.explains:
            self.places[purpose] = most_table_reads(self.server, text)
        done = run(self.server, text)
        self.costs[purpose] = done.cost
        return done

    def _emulate_delete(self, purpose: str, statement: str) -> None:
        """Write the remaining rows to a new table, as these tables have no DELETE."""
        gone = statement.split("WHERE ", 1)[1]
        for into, query in (("kept", f"SELECT * FROM {LEDGER} WHERE NOT ({gone})"), (LEDGER, "SELECT * FROM kept")):
            run(self.server, f"DROP TABLE IF EXISTS {into}")
            self._run_statement(purpose, f"CREATE TABLE {into} AS\n{query}")


def build_job(done: StatementResult) -> Job:
    return Job(id="1", schema=done.columns, records=len(done.rows), size=None)


def encode_text(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


@dataclass(kw_only=True)
class Days:
    """`people` (a multiple of 1,000) are followed; each day `share` of them leave, and as many join."""

    server: str
    people: int
    share: float = 0.01
    day: int = 0
    withholds: bool = False
    stats: Stats | None = None

    def begin(self) -> None:
        """Start with an empty ledger."""
        run(self.server, f"DROP TABLE IF EXISTS {LEDGER}")

    def run(self) -> TrinoJobs:
        """Run the statements of the next day, from hashing to settling."""
        self.day += 1
        self._create("people", _PEOPLE.format(first=self.first, thousands=self.people // 1000))
        jobs = TrinoJobs(
            td=mock.Mock(spec=TreasureData),  # no statement goes there
            source=JobOrQuery(
                query="SELECT email, number FROM people" if self.withholds else "SELECT email FROM people"
            ),
            database=DATABASE,
            audience_id="1",
            session_task_key=f"{self.day:08}",
            server=self.server,
            now=BEGIN + self.day * _DAY,
            explains=self.withholds,
        )
        self.stats = Stats(action="", ad_account_id="", dry_run=False)
        mirror = MirrorWarehouseSteps(
            ledger=Ledger(jobs=jobs, name=LEDGER, ad_account_id="2"),
            settings=parse_export_settings(self._settings, environ=test_parse.ENVIRON),
            lists={name: JobOrQuery(query=query) for name, query in _LISTS.items()} if self.withholds else {},
            stats=self.stats,
        )
        mirror.ledger.check_table(jobs.list_tables().get(LEDGER))
        mirror.ledger.create_if_missing()
        mirror.ledger.load_state(now=float(jobs.now))
        with mock.patch.object(hashed_query, "run_or_await_job", self._read_columns):
            people = mirror.describe_queries()
        mirror.compare_with_ledger(people, mirror.hash_and_withhold(people))
        mirror.count_changes()
        mirror.write_plan("5")
        mirror.read_plan()
        mirror.ledger.find_newer_plan()
        # One of those who join.
        refused = hashlib.sha256(f"person{self.first + self.people - 1}@shop.example".encode()).digest()
        mirror.note_refused(joiners=[] if self.withholds else [refused], leavers=[])
        mirror.settle_plan("5")
        mirror.count_members_and_compact()
        mirror.close()
        return jobs

    def _read_columns(self, _td: TreasureData, source: JobOrQuery) -> Job:
        return build_job(run(self.server, source.query))

    @property
    def first(self) -> int:
        """The number of the first person of the day."""
        return int(self.day * self.people * self.share)

    @property
    def listed_values(self) -> int:
        """The number of values in the lists of a day."""
        return self.people if self.withholds else 0

    def count_withheld(self) -> tuple[Mapping[str, int], Mapping[str, int]]:
        """Return how many people the last day withheld, by reason, and the expected numbers."""
        assert self.stats
        numbers = range(self.first, self.first + self.people)
        chosen = assign_control(_CONTROL, (b"%d" % number for number in numbers))
        reasons = Counter(
            SUPPRESSED if number % 20 == 0 else WITHOUT_CONSENT if number % 10 == 2 else IN_CONTROL_GROUP
            for number, is_chosen in zip(numbers, chosen, strict=True)
            if number % 20 == 0 or number % 10 == 2 or is_chosen
        )
        return {why: self.stats.withheld[why] for why in WITHHELD_REASONS}, dict(reasons)

    @property
    def ledger(self) -> int:
        """Return the number of rows of the ledger."""
        return int(run(self.server, f"SELECT count(*) AS n FROM {LEDGER}").rows[0]["n"])

    @property
    def _settings(self) -> dict[str, object]:
        control = {"percent": str(_CONTROL.percent), "salt": _CONTROL.salt, "by": _CONTROL.by}
        return {
            **{name: test_parse.LEAST[name] for name in ("type", "ad_account_id", "audience_type")},
            "action": "mirror_current_audience",
            "audience_id": "1",
            **({"control": control} if self.withholds else {}),
        }

    def _create(self, table: str, query: str) -> None:
        run(self.server, f"DROP TABLE IF EXISTS {table}")
        run(self.server, f"CREATE TABLE {table} AS {query}")


def most_table_reads(server: str, statement: str) -> int:
    """Return how often the plan of a statement reads its most read table."""
    # Without CREATE TABLE or INSERT in front: an explained CREATE TABLE makes its table on this connector.
    query = re.sub(r"\A.*?^(?=SELECT|WITH )", "", statement, flags=re.DOTALL | re.MULTILINE)
    named = re.findall(r"table = memory:Handle\[[^\]]*table=(\w+)", str(run(server, f"EXPLAIN {query}").rows))
    return max(map(named.count, named), default=0)
