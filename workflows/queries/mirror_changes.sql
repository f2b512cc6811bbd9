-- Made by `scripts/queries` from the operator's own rules: edit table and columns only.
-- What becomes of every digest: join, leave, due (a member who may be sent again), stay; and the reasons for which
-- values are rejected and people withheld.
-- Digests that nothing is done about are counted only. `turn` puts those first whose last join is oldest.
SELECT op, member, turn, digest, count(*) AS people, sum(amount) AS given
FROM (
  SELECT op, member, amount, CASE WHEN op = 'due' THEN cast(joined AS varchar) || substr(digest, 1, 4) END AS turn,
    CASE WHEN op <> 'stay' OR '${td.last_results.mode}' = 'replace' THEN digest END AS digest
  FROM (
    SELECT digest, joined, amount, state <> 'out' AS member, CASE
        WHEN digest IN ('suppressed', 'without_consent', 'control') THEN 'withheld'
        WHEN length(digest) < 64 THEN 'rejected'
        WHEN amount IS NULL THEN CASE state WHEN 'out' THEN 'out' ELSE 'leave' END
        WHEN state <> 'in' THEN 'join'
        WHEN ${mirror.resend_days} > 0 AND '${td.last_results.mode}' = 'difference'
          AND joined < (cast(floor(to_unixtime(now()) / 86400) AS bigint) - ${mirror.resend_days} + 1) * 86400000
          THEN 'due'
        ELSE 'stay' END AS op
    FROM (
      SELECT digest, joined, amount, CASE
        WHEN plan IS NULL THEN 'out'
        WHEN op = 'member' OR (op = 'join' AND plan IN (${td.last_results.sent_plans})) THEN 'in'
        WHEN op = 'leave' AND plan IN (${td.last_results.sent_plans}) THEN 'out'
        ELSE 'unsure' END AS state
      FROM (
        SELECT digest, max(entries.plan) AS plan, max_by(op, entries.plan) AS op, max_by(joined, entries.plan) AS joined, sum(amount) AS amount
        FROM (
        SELECT digest, plan, op, coalesce(joined, plan) AS joined, cast(NULL AS bigint) AS amount FROM ${mirror.ledger}
        WHERE audience_id = '${mirror_audience}' AND digest IS NOT NULL AND plan >= ${td.last_results.base}
          AND (op IN ('join', 'leave') OR plan = ${td.last_results.base})
        UNION ALL
        SELECT answer, NULL, NULL, NULL, amount FROM pinterest_digests_${mirror_stage}) AS entries
        GROUP BY digest)))
  WHERE op <> 'out')
GROUP BY op, member, turn, digest
