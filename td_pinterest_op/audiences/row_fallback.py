"""Rows with several keys, sent as identifiers where Pinterest does not take rows."""

from __future__ import annotations

import logging

from td_pinterest_op.audiences.sender import Put
from td_pinterest_op.errors import RecordsRefusedError, RequestRefusedError
from td_pinterest_op.pinterest.client import Outcome
from td_pinterest_op.records.batch import Batch, RowRecords
from td_pinterest_op.stats import Stats

log = logging.getLogger(__name__)


class RowFallback:
    """Decides once for a run whether rows are sent as `records_v2` or as `records`. Several threads may use it.

    `batch_size`: the most identifiers in one request. `skip_refused`: whether rows without an identifier are counted
    as refused; if not, they are an error.
    """

    def __init__(self, *, stats: Stats, batch_size: int, skip_refused: bool) -> None:
        self._stats, self._batch_size, self._skip_refused = stats, batch_size, skip_refused
        self._rows_are_taken = False
        self._rows_are_refused = False

    def around(self, put: Put) -> Put:
        """`put`, which sends rows as identifiers once Pinterest has refused rows and has taken their identifiers."""

        def put_rows(records: Batch) -> Outcome | None:
            if not isinstance(records, RowRecords):
                return put(records)
            if self._rows_are_refused:
                return self._put_identifiers(records, put)
            try:
                outcome = put(records)
            except RequestRefusedError as error:
                if error.status != 400 or self._rows_are_taken:
                    raise
                return self._try_identifiers(records, put, error)
            self._rows_are_taken = True
            return outcome

        return put_rows

    def _try_identifiers(self, records: RowRecords, put: Put, refusal: RequestRefusedError) -> Outcome | None:
        """After a 400 to the first rows: is it about `records_v2`, or about these records?"""
        if not records.identifiers():
            raise refusal
        try:
            outcome = self._put_identifiers(records, put)
        except RequestRefusedError:
            raise refusal from None
        if not self._rows_are_refused:
            self._rows_are_refused = True
            log.warning(
                "Pinterest refuses records with several keys (records_v2) and takes their keys as identifiers: all "
                "records are sent in that way, without external ids"
            )
        return outcome

    def _put_identifiers(self, records: RowRecords, put: Put) -> Outcome | None:
        outcome = None
        without = sum(len(data) // shape.width for shape, data in records.parts if not shape.keys)
        if without and not self._skip_refused:
            raise RecordsRefusedError(
                f"Pinterest refuses records with several keys (records_v2), and {without} records of a batch have an "
                "external id only: set ignore_invalid_records: true to skip and count such records"
            )
        identifiers = records.identifiers()
        for piece in identifiers.split(self._batch_size) if identifiers else ():
            outcome = put(piece)
        if without:
            # The sender counts all records of the batch as sent.
            self._stats.count(sent=-without, refused=without)
            log.warning("%d records have an external id only: they are refused without records_v2", without)
        return outcome
