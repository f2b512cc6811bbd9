"""The columns of the history table: a row for each run, each audience of a follow-up, each comparison of a lift.

The SQL of the table (`warehouse.history_sql`) and the report read the same columns here.
"""

from __future__ import annotations

from dataclasses import dataclass

RUN, FOLLOW_UP, LIFT = "run", "follow-up", "lift"
SUCCESS, FAILED = "success", "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of the history.

    `type` is Trino's. `run` is where the value stands in the statistics of a run (`rows.read`), `follow_up` where it
    stands in an audience of `pinterest_status`; None for a kind of row that leaves the column empty. `is_later`: tables
    that version 0.2 made lack it.
    """

    name: str
    type: str = "varchar"
    run: str | None = None
    follow_up: str | None = None
    is_later: bool = False


def _shared(name: str) -> Column:
    return Column(name=name, run=name, follow_up=name)


def _of_run(path: str, type_: str = "varchar") -> Column:
    return Column(name=path.replace(".", "_"), type=type_, run=path)


COLUMNS: tuple[Column, ...] = (
    # Known to the workflow, whatever became of the run. `time` is the moment at which the row was written.
    Column(name="time", type="bigint"),
    Column(name="kind"),
    Column(name="outcome"),
    Column(name="workflow"),
    Column(name="session_time"),
    Column(name="session_uuid"),
    Column(name="attempt_id"),
    # What the operator stored.
    _of_run("action"),
    _shared("ad_account_id"),
    _shared("audience_id"),
    _shared("audience_name"),
    Column(name="audience_status", run="audience.status", follow_up="status"),
    Column(name="audience_size", type="bigint", run="audience.size", follow_up="size"),
    Column(name="usable", type="boolean", follow_up="usable"),
    _shared("customer_list_id"),
    Column(name="customer_list_status", follow_up="customer_list_status"),
    _of_run("previous_customer_list_id"),
    _of_run("job_id"),
    _of_run("dry_run", "boolean"),
    *(_of_run(f"rows.{name}", "bigint") for name in ("read", "valid", "invalid")),
    _of_run("rows.invalid_by_reason", "json"),
    *(_of_run(f"records.{name}", "bigint") for name in ("unique", "duplicate", "sent", "refused", "keys")),
    *(_of_run(f"requests.{name}", "bigint") for name in ("sent", "retried", "failed")),
    *(_of_run(f"seconds.{name}", "double") for name in ("reading", "sending", "waiting")),
    _of_run("version"),
    _shared("summary"),
    Column(name="error"),
    *(
        Column(name=f"records_withheld_{why}", type="bigint", run=f"records.withheld.{why}", is_later=True)
        for why in ("suppressed", "without_consent", "control")
    ),
    *(
        Column(name=f"values_{kind}", type="bigint", run=f"values.{kind}", is_later=True)
        for kind in ("plain", "hashed")
    ),
    # The jobs of the queries that say who may be sent.
    *(Column(name=f"lists_{name}", run=f"lists.{name}", is_later=True) for name in ("suppress", "consent")),
    # How many records are known to be in the audience, and in a follow-up its size beside them.
    Column(name="members", type="bigint", run="members", follow_up="members", is_later=True),
    Column(name="match_ratio", type="double", follow_up="match_ratio", is_later=True),
    # Of a comparison with the control group: its figures.
    Column(name="lift", type="json", is_later=True),
)
"""In the order of the table. A `json` is stored as text."""

NAMES = frozenset(column.name for column in COLUMNS)
JSON_NAMES = frozenset(column.name for column in COLUMNS if column.type == "json")
