"""The SQL that makes the mirror's ledger small again, as files for workflows/queries: a row for each member.

What the rows of the ledger mean stands in `warehouse.mirror_sql`.
"""

from __future__ import annotations

from td_pinterest_op.mirroring.sql import (
    AUDIENCE,
    BASES,
    ENTRIES,
    INSERT,
    JUDGED,
    LEDGER,
    NEWEST,
    NOW_MS,
    STRANGE,
    TIME,
)

_MEMBERS = f"""SELECT digest, joined, CASE state WHEN 'in' THEN 'member' ELSE 'unsure' END AS op
  FROM (
    SELECT digest, joined, {JUDGED}
    FROM (
      SELECT digest, {NEWEST}
      FROM (
        SELECT digest, plan, op, coalesce(joined, plan) AS joined {ENTRIES}) AS entries
      GROUP BY digest))
  WHERE state <> 'out'"""

# How many those are, by one number a digest: its newest plan twice, plus 1 unless it left by a settled plan.
_AMOUNT = f"""SELECT count_if(newest % 2 = 1) AS amount FROM (
    SELECT max(plan * 2 + CASE WHEN op = 'leave' AND plan IN (${{td.last_results.sent_plans}}) THEN 0 ELSE 1 END)
      AS newest
    FROM (
      SELECT digest, plan, op {ENTRIES}) AS entries
    GROUP BY digest)"""

FILES: dict[str, str] = {}
"""The text of each query, by file name."""

FILES["mirror_compact.sql"] = f"""\
-- Writes the present state of every digest, a row each. It is not valid before mirror_compacted.sql says so.
{INSERT}
SELECT '{AUDIENCE}', greatest({NOW_MS}, ${{td.last_results.seen}} + 1), op, digest,
  CASE op WHEN 'compacting' THEN ${{td.last_results.seen}} ELSE joined END, NULL, NULL, NULL, NULL, '${{session_uuid}}',
  {TIME}
FROM (
  {_MEMBERS}
  UNION ALL SELECT NULL, NULL, 'compacting')
WHERE ${{td.last_results.settled}} > 0 AND ${{td.last_results.replacing}} <= ${{td.last_results.settled}}
"""

FILES["mirror_compacted.sql"] = f"""\
-- Makes the compaction of this session valid, if it is whole (counted anew) and no plan was made since it looked.
{INSERT}
SELECT '{AUDIENCE}', plan, 'compacted', NULL, NULL, amount, NULL, '${{td.last_results.ad_account_id}}',
  '${{td.last_results.customer_list_id}}', '${{session_uuid}}', {TIME}
FROM (
  SELECT count_if(strange > 0) AS others, max(plan) AS plan, max_by(digests, plan) AS digests,
    max_by(proofs, plan) AS proofs
  FROM (
    SELECT plan, count(digest) AS digests, count_if(digest IS NULL) AS proofs,
      {STRANGE.format(ops="'member', 'unsure', 'compacting'")}
    FROM {LEDGER}
    WHERE audience_id = '{AUDIENCE}' AND plan > ${{td.last_results.seen}}
    GROUP BY plan)
) CROSS JOIN (
  {_AMOUNT}
)
WHERE others = 0 AND proofs > 0 AND digests = amount * proofs
"""

FILES["mirror_base.sql"] = f"""\
-- The plan that the ledger begins with; 0 before the first replace.
SELECT coalesce(max(plan), 0) AS base FROM {LEDGER}
WHERE audience_id = '{AUDIENCE}' AND op IN {BASES}
"""

FILES["mirror_forget.sql"] = f"""\
-- Takes out of the ledger what was written before its base: no query looks at it any more.
DELETE FROM {LEDGER} WHERE audience_id = '{AUDIENCE}' AND plan < ${{td.last_results.base}}
"""
