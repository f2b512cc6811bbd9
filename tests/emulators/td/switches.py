"""What the account does not let the key's user do, and other traits that a test switches on."""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(kw_only=True)
class Switches:
    """Traits of the account, as of one that hinders nobody.

    `download`: of results; "preview" serves the first 50 rows. `edit`: of tables. `is_admitted`: the IP allowlist has
    the client's address. `invisible_columns`, `masked_columns`: names that a column policy hides, or shows as hashes.
    `queued_polls`: how often a job's status is `queued` before anything else, as in a saturated account.
    `compresses_results`: they are compressed once more for the transfer.
    """

    download: Literal["all", "preview", "none"] = "all"
    edit: bool = True
    is_admitted: bool = True
    invisible_columns: set[str] = field(default_factory=set)
    masked_columns: set[str] = field(default_factory=set)
    queued_polls: int = 0
    compresses_results: bool = False
