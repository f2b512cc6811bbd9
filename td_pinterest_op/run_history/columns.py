"""The columns of the history table: a row for each run, each audience of a follow-up, each comparison of a lift.

The statements about the table (`run_history.sql`) and the report read the same columns here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

RUN, FOLLOW_UP, LIFT = "run", "follow-up", "lift"
SUCCESS, FAILED = "success", "failed"

Row = Mapping[str, Any]
"""A row of the table, by the names of its columns; what is left out is NULL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of the history.

    `type` is Trino's. `run` is where the value is in the statistics of a run (`rows.read`), `follow_up` where it is in
    an audience of `pinterest_status`; None for a kind of row that leaves the column empty. `is_later`: some tables of
    earlier versions lack it. `is_free`: text from elsewhere, in which a person or a secret could be named.
    """

    name: str
    type: str = "varchar"
    run: str | None = None
    follow_up: str | None = None
    is_later: bool = False
    is_free: bool = False


def _shared(name: str, **more: Any) -> Column:
    return Column(name=name, run=name, follow_up=name, **more)


def _of_run(path: str, type_: str = "varchar", *, is_later: bool = False) -> Column:
    return Column(name=path.replace(".", "_"), type=type_, run=path, is_later=is_later)


COLUMNS: tuple[Column, ...] = (
    # Known to the task, whatever became of the run. `time` is the moment at which the row was written.
    Column(name="time", type="bigint"),
    Column(name="kind"),
    Column(name="outcome"),
    Column(name="workflow"),
    Column(name="session_time"),
    Column(name="session_uuid"),
    Column(name="attempt_id"),
    # The statistics of the run.
    _of_run("action"),
    _shared("ad_account_id"),
    _shared("audience_id"),
    _shared("audience_name", is_free=True),
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
    _shared("summary", is_free=True),
    Column(name="error", is_free=True),
    *(
        _of_run(f"records.withheld.{why}", "bigint", is_later=True)
        for why in ("suppressed", "without_consent", "control")
    ),
    *(_of_run(f"values.{kind}", "bigint", is_later=True) for kind in ("plain", "hashed")),
    # The jobs of the queries that say who may be sent.
    *(_of_run(f"lists.{name}", is_later=True) for name in ("suppress", "consent")),
    # How many records are known to be in the audience, and in a follow-up its size next to them.
    _shared("members", type="bigint", is_later=True),
    Column(name="match_ratio", type="double", follow_up="match_ratio", is_later=True),
    # Of a comparison with the control group: its figures.
    Column(name="lift", type="json", is_later=True),
    # The full name of the task: a workflow may have several that do the same to one audience.
    Column(name="task", is_later=True),
    _of_run("records.invalid_keys", "bigint", is_later=True),
    _of_run("mirror.mode", is_later=True),
    *(
        _of_run(f"mirror.{name}", "bigint", is_later=True)
        for name in ("plan", "people", "members", "joined", "resent", "left", "unsure")
    ),
    *(_of_run(f"erasure.{name}", "bigint", is_later=True) for name in ("accounts", "lists")),
)
"""In the order of the table. A `json` is stored as text."""

NAMES = frozenset(column.name for column in COLUMNS)
JSON_NAMES = frozenset(column.name for column in COLUMNS if column.type == "json")


def run_row(statistics: Mapping[str, Any]) -> Row:
    """Return the row of a run, from its statistics."""
    mirror = statistics.get("mirror")
    if not (isinstance(mirror, Mapping) and mirror.get("mode")):
        # Zeros of a run that mirrors nothing say nothing.
        statistics = {**statistics, "mirror": None}
    return {"kind": RUN} | {
        column.name: _value(statistics, column.run, column.type) for column in COLUMNS if column.run
    }


def follow_up_row(audience: Mapping[str, Any]) -> Row:
    """Return the row of an audience, as a follow-up stores it."""
    return {"kind": FOLLOW_UP} | {
        column.name: _value(audience, column.follow_up, column.type) for column in COLUMNS if column.follow_up
    }


def lift_row(figures: Mapping[str, Any]) -> Row:
    """Return the row of a comparison with the control group."""
    return {"kind": LIFT, "summary": figures.get("summary"), "lift": json.dumps(figures)}


def _value(given: Mapping[str, Any], path: str, type_: str) -> Any:
    value: Any = given
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return json.dumps(value) if type_ == "json" and value is not None else value
