"""Read the settings, rows and lists of a task, and report every problem before anything is contacted.

A task may get settings and parameters from one more place: an entry of a list, a console, a file. All doors read and
merge them here.
"""

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

from td_pinterest_op.errors import SettingsError, SettingsErrorCollector
from td_pinterest_op.pinterest.oauth import SCOPES
from td_pinterest_op.records.hashed_rows import find_hashing_reason, open_rows, require_hashable
from td_pinterest_op.runtime.clock import Timing
from td_pinterest_op.settings.key_names import drop_console_keys
from td_pinterest_op.settings.merge import Layer, merge_layers
from td_pinterest_op.settings.parse import find_action, parse, parse_erasure
from td_pinterest_op.settings.setting import Table
from td_pinterest_op.settings.structures import read_mapping
from td_pinterest_op.settings.table import ErasureSettings, SendingSettings, Settings
from td_pinterest_op.settings.task_parameters import TASK_PARAMETERS, find_misspelt_parameters
from td_pinterest_op.settings.types import WrongValueError, show_value
from td_pinterest_op.stats import LISTS, Stats
from td_pinterest_op.treasure_data.job import Source
from td_pinterest_op.treasure_data.result import Rows, open_job_rows
from td_pinterest_op.withholding.people import Lists
from td_pinterest_op.withholding.preparation import find_people_columns
from td_pinterest_op.workflow import task as workflow
from td_pinterest_op.workflow.history import read_history_database
from td_pinterest_op.workflow.services import Endpoints, OnNewRefreshToken, Services, connect, read_endpoints

log = logging.getLogger(__name__)

# A task has one of these at most.
_ROWS = frozenset({"query", "job_id"})

_S = TypeVar("_S", bound=SendingSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Generic[_S]):
    """A task's checked settings and sources. `source`: None for an action without rows. `lists`: by name of LISTS."""

    task: workflow.Task
    settings: _S
    endpoints: Endpoints
    source: Source | Rows | None
    lists: Mapping[str, Source]

    def connect(
        self, stats: Stats, timing: Timing, *, on_new_refresh_token: OnNewRefreshToken | None = None
    ) -> contextlib.AbstractContextManager[Services]:
        """Connect to both services, with a token that may export. See `workflow.services.connect`."""
        return connect(
            self.task,
            self.settings,
            timing=timing,
            endpoints=self.endpoints,
            count=stats.requests,
            on_new_refresh_token=on_new_refresh_token,
            scopes=SCOPES,
        )

    def open_rows(self, services: Services, stats: Stats, *, lists: Lists | None = None) -> Rows:
        """Wait for the job, put its id into `stats`, and return the rows. Raises as `open_job_rows` does.

        `lists`: those of this request, if it has any.
        """
        if isinstance(self.source, Rows):
            return self.source
        assert self.source is not None, "an action without rows opens none"  # noqa: S101
        td, note, settings = services.treasure_data, partial(setattr, stats, "job_id"), self.settings
        if not isinstance(settings, Settings):
            return open_job_rows(td, self.source, note=note)
        choose = partial(find_people_columns, settings=settings, lists=lists.columns if lists else {})
        hash_in, control = settings.hash_in, settings.control
        return open_rows(td, self.source, hash_in=hash_in, choose=choose, control=control, note=note)


ExportRequest = Request[Settings]


def split_layer(layer: Layer) -> tuple[Mapping[object, object], dict[str, Any]]:
    """Split what one place defines into the settings and the parameters of a task.

    Settings are all that is no parameter, or they have a key of their own, `result_settings`. Raises SettingsError.
    """
    whole = layer.mapping()
    params = {name: whole[name] for name in TASK_PARAMETERS if name in whole}
    others = {key: value for key, value in whole.items() if key not in params}
    if "result_settings" not in others:
        return others, params
    settings = Layer(place=f"result_settings of {layer.place}", content=others.pop("result_settings")).mapping()
    if others:
        near = find_misspelt_parameters(others)
        texts = [show_value(key).strip("'") for key in others]
        names = [text + (f" (did you mean {near[text]}?)" if text in near else "") for text in texts]
        raise SettingsError(
            f"{layer.place} has parameters next to result_settings that an export does not accept: "
            f"{', '.join(names)}. Allowed there: {', '.join(TASK_PARAMETERS)}",
            key="result_settings",
        )
    return settings, params


def extend_task(
    task: workflow.Task, place: str, settings: Mapping[object, object], params: Mapping[str, Any]
) -> workflow.Task:
    """Return the task with the settings and parameters of another place, which override its own."""
    own = task.params
    if not _ROWS.isdisjoint(params):
        own = {name: value for name, value in own.items() if name not in _ROWS}
    if replaced := [name for name in params if task.params.get(name, params[name]) != params[name]]:
        log.info("%s has its own %s, which is used in place of the task's", place, ", ".join(replaced))
    shared = Layer(place="result_settings", content=task.params.get("result_settings"))
    merged = merge_layers(shared, Layer(place=place, content=settings))
    return replace(task, params={**own, **params, "result_settings": merged})


def read_export_request(task: workflow.Task, *, table: Table, rows: Rows | None = None) -> ExportRequest:
    """Return the request of an export. Raises SettingsError with every problem.

    Args:
        table: the settings and actions.
        rows: what is exported instead of the task's job.
    """
    raw = _read_raw_settings(task, table)
    action = find_action(raw, table=table)
    if action and not action.adds_people and (unused := [name for name in LISTS if name in task.params]):
        log.warning("%s adds no people, so it ignores the task's %s", action.name, " and ".join(unused))
    return _read_request(
        task,
        partial(parse, raw, table=table, environ=task.environ),
        rows=rows,
        reads_rows=action is None or action.reads_rows,
        lists=() if action and not action.adds_people else LISTS,
    )


def _read_raw_settings(task: workflow.Task, table: Table) -> object:
    """Return `result_settings`. The console's text in an activation loses the keys that the console adds."""
    raw = task.params.get("result_settings")
    if task.is_activation and isinstance(raw, str):
        with contextlib.suppress(WrongValueError):  # `parse` says what is wrong
            return drop_console_keys(read_mapping(raw), table)
    return raw


def read_erasure_request(task: workflow.Task) -> Request[ErasureSettings]:
    """Return the request of an erasure. Raises SettingsError with every problem."""
    return _read_request(task, partial(parse_erasure, task.params.get("result_settings"), environ=task.environ))


def _read_request(
    task: workflow.Task,
    read_settings: Callable[[], _S],
    *,
    rows: Rows | None = None,
    reads_rows: bool = True,
    lists: Sequence[str] = (),
) -> Request[_S]:
    """Return a request for `rows`, or for the task's job. `lists`: the names of the list parameters."""
    errors = SettingsErrorCollector()
    settings: _S | None = None
    with errors:
        settings = read_settings()
        settings = replace(settings, requests_per_minute=max(settings.requests_per_minute // task.concurrent, 1))
        # Only for its problems: whoever writes the history finds the database again.
        if settings.history:
            read_history_database(task, settings.history)
    endpoints: Endpoints | None = None
    with errors:
        endpoints = read_endpoints(task.environ)
    for name, meant in find_misspelt_parameters(task.params).items():
        errors.add(f"{name} of the task is unknown; did you mean {meant}?", key=name)
    source: Source | Rows | None = rows
    if source is None and reads_rows:
        with errors:
            source = workflow.read_source(task)
        with errors:
            _ = task.td_api_key
    sources = _read_list_sources(task, lists, errors)
    if isinstance(settings, Settings):
        for name, each in {"query": source, **sources}.items():
            with errors:
                _require_hashable(each, name, settings)
    errors.raise_any()
    assert settings, "its problem was raised"  # noqa: S101
    assert endpoints, "its problem was raised"  # noqa: S101
    for warning in settings.warnings:
        log.warning("%s", warning)
    return Request(task=task, settings=settings, endpoints=endpoints, source=source, lists=sources)


def _read_list_sources(
    task: workflow.Task, names: Sequence[str], errors: SettingsErrorCollector
) -> Mapping[str, Source]:
    """Return the source of each list that the task has, by parameter name."""
    sources = {}
    for name in names:
        with errors:
            if source := workflow.read_list_source(task, name):
                sources[name] = source
    return sources


def _require_hashable(source: Source | Rows | None, name: str, settings: Settings) -> None:
    """Raise SettingsError if the warehouse has to hash the rows of a source and cannot."""
    if source is None:
        return
    if needed_by := find_hashing_reason(settings.action, settings.hash_in):
        require_hashable(source, name=name, needed_by=needed_by)
