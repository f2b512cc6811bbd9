"""The names of this operator's customer lists: `{audience name} (td {session key} {jobs} {fingerprint} {records})`.

By its name, a rerun of a session, or a second run of its task (digdag is at-least-once), finds the list that another
try has begun, and a run knows whether a list is newer than its own.
"""

import hashlib
import re
from dataclasses import dataclass

from td_pinterest_op.pinterest.api import CustomerList
from td_pinterest_op.records.prepared import compute_fingerprint

_NAME_PATTERN = re.compile(
    r"(?P<audience>.*) \(td (?P<session>[0-9a-f]{8}) "
    r"(?P<people_job>[0-9]{1,40}|-)(?:\+(?P<withheld_job>[0-9]{1,40}))? "
    r"(?P<fingerprint>[0-9a-f]{8}) (?P<records>[0-9]{1,12})\)",
    re.DOTALL,
)
# A list's name may have 255 characters; 65 of them follow the audience's name.
_LONGEST_AUDIENCE_PART = 190
_NAME_HASH_DIGITS = 8


@dataclass(frozen=True, kw_only=True)
class ListJobs:
    """The jobs that chose the people of a list. In its name, "1000002", "1000002+1000007", or "-" for no query."""

    people: str | None = None  # the id of the job that selected them; None for a list for which no query ran
    withheld: str | None = None  # the id of the last job of an opt-out or consent list

    def __str__(self) -> str:
        return (self.people or "-") + (f"+{self.withheld}" if self.withheld else "")

    def is_newer_than(self, other: "ListJobs") -> bool | None:
        """Whether the ids here are greater than those in `other`. None if equal or not comparable."""
        if self == other or self.people is None or other.people is None:
            return None
        return (int(self.people), int(self.withheld or 0)) > (int(other.people), int(other.withheld or 0))


@dataclass(frozen=True, kw_only=True)
class ListName:
    """The parts of a list's name."""

    audience: str
    session: str  # the key of the digdag session, eight hex digits
    jobs: ListJobs
    fingerprint: str  # a hash of the list's records, eight hex digits
    records: int  # how many records the list was made for

    def __str__(self) -> str:
        return f"{self.audience} (td {self.session} {self.jobs} {self.fingerprint} {self.records})"

    @property
    def dummy_record_count(self) -> int | None:
        """How many records an empty list was created with: 0, or 1 that is nobody's. None for a list with people."""
        return self.records if self.fingerprint == compute_fingerprint() else None


def parse_list_name(customer_list: CustomerList | None) -> ListName | None:
    """Return the parts of a list's name, or None if there is no list or this operator did not name it."""
    match = _NAME_PATTERN.fullmatch(customer_list.name) if customer_list else None
    if not match:
        return None
    return ListName(
        audience=match["audience"],
        session=match["session"],
        jobs=ListJobs(
            people=None if match["people_job"] == "-" else match["people_job"], withheld=match["withheld_job"]
        ),
        fingerprint=match["fingerprint"],
        records=int(match["records"]),
    )


def shorten_for_list_name(name: str) -> str:
    """Return an audience's name as in its lists' names: a long one is cut, and its hash follows."""
    if len(name) <= _LONGEST_AUDIENCE_PART:
        return name
    whole = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_NAME_HASH_DIGITS]
    return f"{name[: _LONGEST_AUDIENCE_PART - _NAME_HASH_DIGITS - 1]} {whole}"
