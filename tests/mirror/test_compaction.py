"""When a mirror's ledger is compacted. What a compaction does: test_mirror."""

from dataclasses import dataclass, field
from typing import cast

import pytest

from td_pinterest_op.mirroring.compaction import compact_if_due
from td_pinterest_op.mirroring.ledger import Ledger, LedgerPlans

DAY = 86_400_000
NOW = 1000 * DAY


@dataclass
class Statements:
    """A ledger that only counts what it is asked to do."""

    state: LedgerPlans
    done: list[str] = field(default_factory=list)

    def insert_compaction(self, *, member_count: int) -> bool:
        self.done.append(f"compact to {member_count}")
        return True

    def delete_void_rows(self) -> None:
        self.done.append("delete")


@pytest.mark.parametrize(
    ("rows", "plans", "oldest_leaver", "is_due"),
    [
        (1, 1, 0, False),
        (700, 1, 0, False),
        (701, 1, 0, True),
        (1, 1000, 0, False),
        (1, 1001, 0, True),
        (1, 1, NOW - 29 * DAY, False),
        (1, 1, NOW - 29 * DAY - 1, True),
    ],
    ids=[
        "small",
        "three rows a member and a margin",
        "one more",
        "a thousand plans",
        "one more plan",
        "left",
        "left 29 days ago",
    ],
)
def test_ledger_is_compacted_when_it_is_large_or_somebody_left_long_ago(
    rows: int, plans: int, oldest_leaver: int, is_due: bool
) -> None:
    ledger = Statements(LedgerPlans(number=NOW, read_at=NOW // 1000, settled_keys=["7 0123abcd"] * plans))
    compact_if_due(cast("Ledger", ledger), member_count=200, row_count=rows, oldest_leaver_plan=oldest_leaver)
    assert ledger.done == ["compact to 200", "delete"][not is_due :]
