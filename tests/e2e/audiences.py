"""The names of the actions, and questions about the resulting audiences and lists."""

import hashlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from tests.emulators.pinterest import When
from tests.exporting import SESSION, TASK_NAME, Services, digest, digests

ADD = "add_people_to_current_audience"
REMOVE = "remove_people_from_current_audience"
CREATE = "create_new_audience"
REPLACE = "replace_current_audience"
CLEAR = "clear_current_audience"
DELETE = "delete_current_audience"

NEW = {"action": CREATE, "audience_name": "Spring"}
_EVERYBODY = set(map(bytes.fromhex, digests(1000)))
NEXT_DAY = "2026-11-26T00:00:00+00:00"


def session_task_key(session_time: str = SESSION) -> str:
    """Return the key that marks a session in the names of its lists."""
    return digest(f"{session_time} 1 {TASK_NAME}")[:8]


def fingerprint(records: Iterable[str]) -> str:
    """Return the part of a list's name that identifies these records, given as hex digests."""
    return hashlib.sha256(b"".join(sorted(map(bytes.fromhex, records)))).hexdigest()[:8]


def list_name(audience: str, job_id: str, records: Iterable[str] = (), session_time: str = SESSION) -> str:
    """Return the name that a session gives to its list for an audience. The job id of an empty list is `-`."""
    held = list(records)
    return f"{audience} (td {session_task_key(session_time)} {job_id} {fingerprint(held)} {len(held)})"


def is_cleared(services: Services, audience_id: str) -> bool:
    """Return whether an audience uses a list that was created empty, or with the digest of a made-up value."""
    behind = services.pinterest.lists[current_list_id(services, audience_id)]
    return len(behind.members) <= 1 and not behind.members & _EVERYBODY


def settings_of(services: Services, action: str, members: Sequence[str] = ()) -> dict[str, Any]:
    """Return the minimal settings of an action: a name to create, or a new audience with these people."""
    return dict(NEW) if action == CREATE else {"action": action, "audience_id": services.audience(members)}


def audience_id_of(services: Services, settings: Mapping[str, Any]) -> str:
    """Return the id of the audience that an export with these settings changes, the only one if they name it."""
    if "audience_id" in settings:
        return str(settings["audience_id"])
    (audience,) = services.pinterest.audiences_named(settings["audience_name"])
    return audience.id


def members_of(services: Services, settings: Mapping[str, Any]) -> set[str]:
    """Return the digests of the people in the audience that an export with these settings changes."""
    return services.pinterest.members_of_audience(audience_id_of(services, settings))


def only_audience_id(services: Services) -> str:
    """The id of the only audience with the name in NEW."""
    return audience_id_of(services, NEW)


def current_list_id(services: Services, audience_id: str) -> str:
    """Return the id of the customer list that an audience uses now."""
    return str(services.pinterest.audiences[audience_id].rule["customer_list_id"])


def is_in_control(key: str, percent: float, *, salt: str = "spring") -> bool:
    """Return whether this key is in the control group of the salt."""
    return int(digest(f"{salt}\n{key}")[:8], 16) % 10_000 < round(percent * 100)


def run_during(services: Services, operation: str, run: Callable[[], object], *, when: When = When.BEFORE) -> None:
    """Call `run` once, at the next request of that operation: before it is executed, or before its response."""
    left = [run]
    services.pinterest.on_request(lambda call: call.operation == operation and left and left.pop()(), when=when)


def synchronise_at(services: Services, *operations: str) -> None:
    """Let the first of two requests for each operation wait until the second arrives."""
    barriers = {operation: threading.Barrier(2, timeout=10) for operation in operations}
    services.pinterest.on_request(lambda call: call.operation in barriers and barriers[call.operation].wait())
