-- Made by `scripts/queries` from the operator's own rules: edit table and columns only.
-- Writes the present state of every digest, a row each. It is not valid before mirror_compacted.sql says so.
INSERT INTO ${mirror.ledger}
  (audience_id, plan, op, digest, joined, figure, resent, ad_account_id, customer_list_id, session, time)
SELECT '${mirror_audience}', greatest(cast(to_unixtime(now()) * 1000 AS bigint), ${td.last_results.seen} + 1), op, digest,
  CASE op WHEN 'compacting' THEN ${td.last_results.seen} ELSE joined END, NULL, NULL, NULL, NULL, '${session_uuid}',
  cast(to_unixtime(now()) AS bigint)
FROM (
  SELECT digest, joined, CASE state WHEN 'in' THEN 'member' ELSE 'unsure' END AS op
  FROM (
    SELECT digest, joined, CASE
        WHEN plan IS NULL THEN 'out'
        WHEN op = 'member' OR (op = 'join' AND plan IN (${td.last_results.sent_plans})) THEN 'in'
        WHEN op = 'leave' AND plan IN (${td.last_results.sent_plans}) THEN 'out'
        ELSE 'unsure' END AS state
    FROM (
      SELECT digest, max(entries.plan) AS plan, max_by(op, entries.plan) AS op, max_by(joined, entries.plan) AS joined
      FROM (
        SELECT digest, plan, op, coalesce(joined, plan) AS joined FROM ${mirror.ledger}
        WHERE audience_id = '${mirror_audience}' AND digest IS NOT NULL AND plan >= ${td.last_results.base}
          AND (op IN ('join', 'leave') OR plan = ${td.last_results.base})) AS entries
      GROUP BY digest))
  WHERE state <> 'out'
  UNION ALL SELECT NULL, NULL, 'compacting')
WHERE ${td.last_results.settled} > 0 AND ${td.last_results.replacing} <= ${td.last_results.settled}
