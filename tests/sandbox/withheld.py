"""Why people are missing from an audience: the rows of its run, read again with and without each restriction."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from td_pinterest_op.audiences.actions import EXPORT
from td_pinterest_op.errors import ExportError
from td_pinterest_op.records.spool import split_fixed
from td_pinterest_op.report.entry import Entry
from td_pinterest_op.runtime.clock import SYSTEM
from td_pinterest_op.settings.parse import parse_settings
from td_pinterest_op.settings.table import Settings
from td_pinterest_op.stats import CONSENT, SUPPRESS, Stats
from td_pinterest_op.treasure_data.job import Source
from td_pinterest_op.treasure_data.result import open_job_rows
from td_pinterest_op.treasure_data.td_api import TreasureData
from td_pinterest_op.withholding.lists import open_lists
from td_pinterest_op.withholding.preparation import open_reader
from td_pinterest_op.workflow.services import connect_services
from td_pinterest_op.workflow.task import Task

# The settings that decide who is withheld, or what the columns of the rows are; the parameters that name people.
SETTINGS = ("control", "columns", "hash_in")
PARAMETERS = ("query", "database", "engine", SUPPRESS, CONSENT)
# In the order in which an export withholds.
_LISTS = {SUPPRESS: "suppressed", CONSENT: "without consent"}
IN_CONTROL, NOT_FOUND, UNKNOWN = "in the control group", "not in the query's result", "for an unknown reason"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """A run whose rows can be read again. `sources`: of the rows, as `query`, and of its lists."""

    td: TreasureData
    sources: Mapping[str, Source]
    settings: Settings

    def digests(self, *, with_control: bool = False, lists: Collection[str] = ()) -> frozenset[str]:
        """Return the digests (hex) that these restrictions leave. Raises ExportError, OSError."""
        settings = self.settings
        if settings.control and not with_control:
            # Its column stays known as what it is.
            settings = replace(settings, control=replace(settings.control, percent=Decimal(0)))
        sources = {name: self.sources[name] for name in lists}
        stats = Stats(action="", ad_account_id="", dry_run=True)
        rows = open_job_rows(self.td, self.sources["query"])
        with (
            open_lists(self.td, sources, settings, stats, queries={}) as opened,
            open_reader(rows.job, settings, stats, lists=opened) as reader,
        ):
            prepared = reader.read(rows.blocks, progress=lambda _: None)
            return frozenset(digest.hex() for _, chunk in prepared.read_chunks() for digest in split_fixed(chunk))


def explain_missing(
    missing: Collection[str], run: Entry, task: Mapping[str, object], environ: Mapping[str, str]
) -> dict[str, str]:
    """Return a reason for each digest that is missing from the audience of a run; nothing if its rows cannot tell.

    `task`: those of SETTINGS and PARAMETERS that the run had.
    """
    raw = {
        "type": "pinterest",
        "audience_type": "customer_list",
        "action": "add_people_to_current_audience",
        "ad_account_id": run.get_text("ad_account_id"),
        "audience_id": run.get_text("audience_id"),
        **{name: task[name] for name in SETTINGS if name in task},
    }
    try:
        settings = parse_settings(raw, table=EXPORT, environ=environ)
        has_rows = not run.is_mirror and settings.hash_in == "operator"
        settings = replace(settings, records="identifiers", hash_in="operator")
        sources = _jobs(run) if has_rows else _queries(task)
        if "query" not in sources:
            return {}
        with connect_services(Task(params={}, environ=environ), settings, timing=SYSTEM) as services:
            return _reasons(missing, _Run(td=services.treasure_data, sources=sources, settings=settings))
    except ExportError:
        return {}


def _jobs(run: Entry) -> dict[str, Source]:
    jobs = {"query": run.get_text("job_id"), **{name: run.get_text(f"lists_{name}") for name in _LISTS}}
    return {name: Source(job_id=job_id) for name, job_id in jobs.items() if job_id}


def _queries(task: Mapping[str, object]) -> dict[str, Source]:
    """Return the sources of a task whose jobs hold no rows of people: a mirror's, or hashed ones."""
    database, engine = str(task.get("database", "")), str(task.get("engine", "presto"))
    return {
        name: Source(query=str(task[name]), database=database, engine=engine)
        for name in ("query", *_LISTS)
        if name in task
    }


def _reasons(missing: Collection[str], run: _Run) -> dict[str, str]:
    left = {reason: run.digests(lists=[name]) for name, reason in _LISTS.items() if name in run.sources}
    if run.settings.control:
        left[IN_CONTROL] = run.digests(with_control=True)
    everybody = run.digests()
    reasons = dict.fromkeys(missing, NOT_FOUND)
    for digest in everybody.intersection(missing):
        reasons[digest] = next((reason for reason, digests in left.items() if digest not in digests), UNKNOWN)
    return reasons
