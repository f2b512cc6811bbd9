"""The actions by name, and what a test asks of the audiences and lists that they leave."""

from __future__ import annotations

import hashlib

from tests.exporting import SESSION, TASK_NAME, Services

ADD = "add_people_to_current_audience"
REMOVE = "remove_people_from_current_audience"
CREATE = "create_new_audience"
REPLACE = "replace_current_audience"
CLEAR = "clear_current_audience"
DELETE = "delete_current_audience"

NEW = {"action": CREATE, "audience_name": "Spring"}
NEXT_DAY = "2026-11-26T00:00:00+00:00"


def session_key(session_time: str = SESSION) -> str:
    """The key in the names of the lists that a session makes."""
    return hashlib.sha256(f"{session_time} 1 {TASK_NAME}".encode()).hexdigest()[:8]


def list_name(audience: str, job_id: str, session_time: str = SESSION) -> str:
    """How a session names its list for an audience; the job id is `-` for an empty one."""
    return f"{audience} (td {session_key(session_time)} {job_id})"


def the_audience(services: Services, name: str = "Spring") -> str:
    """The id of the only audience of that name."""
    found = services.pinterest.audiences_named(name)
    assert 1 == len(found)
    return found[0].id


def list_behind(services: Services, audience_id: str) -> str:
    """The id of the customer list that an audience stands on now."""
    return str(services.pinterest.audiences[audience_id].rule["customer_list_id"])
