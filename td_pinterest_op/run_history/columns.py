"""The columns of the history table, which has a row for each run, audience of a follow-up, and lift comparison."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from td_pinterest_op.stats import LISTS, WITHHELD

RUN, FOLLOW_UP, LIFT = "run", "follow-up", "lift"
SUCCESS, FAILED = "success", "failed"

Row = Mapping[str, Any]
"""A row of the table, by the names of its columns. A missing column is NULL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of the history table.

    `type` is Trino's. `run` is the path of the value in the statistics of a run (`rows.read`), `follow_up` the path in
    an audience of `pinterest_status`; None leaves the column empty in such rows. `is_later`: tables of earlier versions
    may lack it. `is_free`: text from elsewhere, which could name a person or a secret.
    """

    name: str
    type: str = "varchar"
    run: str | None = None
    follow_up: str | None = None
    is_later: bool = False
    is_free: bool = False


def _make_shared_column(name: str, **more: Any) -> Column:
    """Return a column that has the same name in the rows of runs and of follow-ups."""
    return Column(name=name, run=name, follow_up=name, **more)


def _make_run_column(path: str, type_: str = "varchar", *, is_later: bool = False) -> Column:
    """Return a column of runs, named by the `path` of its value in the statistics, such as `rows.read`."""
    return Column(name=path.replace(".", "_"), type=type_, run=path, is_later=is_later)


COLUMNS: tuple[Column, ...] = (
    # Of the task, also for a run without statistics. `time` is when the row was written.
    Column(name="time", type="bigint"),
    Column(name="kind"),
    Column(name="outcome"),
    Column(name="workflow"),
    Column(name="session_time"),
    Column(name="session_uuid"),
    Column(name="attempt_id"),
    # The statistics of the run.
    _make_run_column("action"),
    _make_shared_column("ad_account_id"),
    _make_shared_column("audience_id"),
    _make_shared_column("audience_name", is_free=True),
    Column(name="audience_status", run="audience.status", follow_up="status"),
    Column(name="audience_size", type="bigint", run="audience.size", follow_up="size"),
    Column(name="usable", type="boolean", follow_up="usable"),
    _make_shared_column("customer_list_id"),
    Column(name="customer_list_status", follow_up="customer_list_status"),
    _make_run_column("previous_customer_list_id"),
    _make_run_column("job_id"),
    _make_run_column("dry_run", "boolean"),
    *(_make_run_column(f"rows.{name}", "bigint") for name in ("read", "valid", "invalid")),
    _make_run_column("rows.invalid_by_reason", "json"),
    *(_make_run_column(f"records.{name}", "bigint") for name in ("unique", "duplicate", "sent", "refused", "keys")),
    *(_make_run_column(f"requests.{name}", "bigint") for name in ("sent", "retried", "failed")),
    *(_make_run_column(f"seconds.{name}", "double") for name in ("reading", "sending", "waiting")),
    _make_run_column("version"),
    _make_shared_column("summary", is_free=True),
    Column(name="error", is_free=True),
    *(_make_run_column(f"records.withheld.{reason}", "bigint", is_later=True) for reason in WITHHELD),
    *(_make_run_column(f"values.{kind}", "bigint", is_later=True) for kind in ("plain", "hashed")),
    # The jobs of the queries `suppress` and `consent`.
    *(_make_run_column(f"lists.{name}", is_later=True) for name in LISTS),
    # How many records are known to be in the audience; in a follow-up, its size relative to them.
    _make_shared_column("members", type="bigint", is_later=True),
    Column(name="match_ratio", type="double", follow_up="match_ratio", is_later=True),
    # The figures of a comparison with the control group.
    Column(name="lift", type="json", is_later=True),
    # The task's full name: several tasks of a workflow may do the same to one audience.
    Column(name="task", is_later=True),
    _make_run_column("records.invalid_keys", "bigint", is_later=True),
    _make_run_column("mirror.mode", is_later=True),
    *(
        _make_run_column(f"mirror.{name}", "bigint", is_later=True)
        for name in ("plan", "people", "members", "joined", "resent", "left", "unsure")
    ),
    *(_make_run_column(f"erasure.{name}", "bigint", is_later=True) for name in ("accounts", "lists")),
)
"""In the order of the table. A `json` is stored as text."""

NAMES = frozenset(column.name for column in COLUMNS)
JSON_NAMES = frozenset(column.name for column in COLUMNS if column.type == "json")


def build_run_row(statistics: Mapping[str, Any]) -> Row:
    """Return the history row of a run, from its statistics."""
    mirror = statistics.get("mirror")
    if not (isinstance(mirror, Mapping) and mirror.get("mode")):
        # The figures of any other action are all zero.
        statistics = {**statistics, "mirror": None}
    return _build_row(RUN, statistics, attrgetter("run"))


def build_follow_up_row(audience: Mapping[str, Any]) -> Row:
    """Return the history row of an audience, from its state in `pinterest_status`."""
    return _build_row(FOLLOW_UP, audience, attrgetter("follow_up"))


def build_lift_row(figures: Mapping[str, Any]) -> Row:
    """Return the history row for the figures of a comparison with the control group."""
    return {"kind": LIFT, "summary": figures.get("summary"), "lift": json.dumps(figures)}


def _build_row(kind: str, content: Mapping[str, Any], get_path: Callable[[Column], str | None]) -> Row:
    """Return a row with the value at each column's path in `content`, None for a missing one."""
    row: dict[str, Any] = {"kind": kind}
    for column in COLUMNS:
        if path := get_path(column):
            value: Any = content
            for name in path.split("."):
                value = value.get(name) if isinstance(value, Mapping) else None
            row[column.name] = json.dumps(value) if column.type == "json" and value is not None else value
    return row
