"""Rows that are sent as identifiers: decided once for a run, whoever finds out first."""

from __future__ import annotations

import pytest

from td_pinterest_op.audiences.row_fallback import RowFallback
from td_pinterest_op.errors import RequestRefusedError
from td_pinterest_op.pinterest.client import Outcome
from td_pinterest_op.records.batch import Batch, Digests, RowRecords
from td_pinterest_op.records.columns import Column
from td_pinterest_op.records.identifier_types import EMAIL
from td_pinterest_op.records.rows import encode_block
from td_pinterest_op.stats import Stats
from tests.exporting import people
from tests.unit.scripted import answer

OUTCOME = Outcome(response=answer(), latency=0.01, throttled=False)


def rows(first: int) -> RowRecords:
    """Two people."""
    column = Column(name="email", type=EMAIL, position=0)
    values = [person.encode() for person in people(2, first=first)]
    rows = encode_block([column], [values], default_country=None).rows
    return RowRecords([(shape, b"".join(of_shape)) for shape, of_shape in rows.items()])


def test_two_batches_that_find_out_at_the_same_time_warn_once(caplog: pytest.LogCaptureFixture) -> None:
    """While the identifiers of the first batch are under way, the second one is refused as well."""
    sent: list[Batch] = []
    waiting = [rows(2)]

    def put(records: Batch) -> Outcome:
        if isinstance(records, RowRecords):
            refusal = RequestRefusedError("Pinterest answered 400")
            refusal.status = 400
            raise refusal
        if waiting:
            assert OUTCOME == put_rows(waiting.pop())
        sent.append(records)
        return OUTCOME

    fallback = RowFallback(stats=Stats(action="", ad_account_id="1", dry_run=False), batch_size=10, skip_refused=True)
    put_rows = fallback.around(put)
    assert OUTCOME == put_rows(rows(0))
    assert [Digests, Digests] == list(map(type, sent))
    assert {len(batch) for batch in sent} == {2}
    assert 1 == caplog.text.count("refuses records with several keys")
