-- Made by `scripts/queries` from the operator's own rules: edit table and columns only.
-- Makes the compaction of this session valid, if it is whole (counted anew) and no plan was made since it looked.
INSERT INTO ${mirror.ledger}
  (audience_id, plan, op, digest, joined, figure, resent, ad_account_id, customer_list_id, session, time)
SELECT '${mirror_audience}', plan, 'compacted', NULL, NULL, amount, NULL, '${td.last_results.ad_account_id}',
  '${td.last_results.customer_list_id}', '${session_uuid}', cast(to_unixtime(now()) AS bigint)
FROM (
  SELECT count_if(strange > 0) AS others, max(plan) AS plan, max_by(digests, plan) AS digests,
    max_by(proofs, plan) AS proofs
  FROM (
    SELECT plan, count(digest) AS digests, count_if(digest IS NULL) AS proofs,
      count_if(coalesce(session, '') <> '${session_uuid}' OR op NOT IN ('member', 'unsure', 'compacting')) AS strange
    FROM ${mirror.ledger}
    WHERE audience_id = '${mirror_audience}' AND plan > ${td.last_results.seen}
    GROUP BY plan)
) CROSS JOIN (
  SELECT count_if(newest % 2 = 1) AS amount FROM (
    SELECT max(plan * 2 + CASE WHEN op = 'leave' AND plan IN (${td.last_results.sent_plans}) THEN 0 ELSE 1 END)
      AS newest
    FROM (
      SELECT digest, plan, op FROM ${mirror.ledger}
        WHERE audience_id = '${mirror_audience}' AND digest IS NOT NULL AND plan >= ${td.last_results.base}
          AND (op IN ('join', 'leave') OR plan = ${td.last_results.base})) AS entries
    GROUP BY digest)
)
WHERE others = 0 AND proofs > 0 AND digests = amount * proofs
