-- Made by `python -m td_pinterest_op.warehouse` from the operator's own rules: edit table and columns only.
-- Writes the plan into the ledger. The `planned` row carries the number of its joins and leaves: the proof that it
-- is whole.
INSERT INTO ${mirror.ledger} (audience_id, plan, op, digest, joined, figure, resent, ad_account_id, customer_list_id, session, time)
WITH ledger AS (
  SELECT * FROM ${mirror.ledger} WHERE audience_id = '${mirror_audience}'
), settling AS (
  SELECT
    max(CASE WHEN op IN ('settled', 'replaced', 'compacted') THEN plan END) AS settled,
    coalesce(max(CASE WHEN op IN ('replaced', 'compacted') THEN plan END), 0) AS base,
    coalesce(max(CASE WHEN op = 'replacing' THEN plan END), 0) AS replacing,
    coalesce(max(plan), 0) AS newest
  FROM ledger
), newest AS (
  SELECT digest, max(ledger.plan) AS plan, max_by(op, ledger.plan) AS op, max_by(joined, ledger.plan) AS joined
  FROM ledger CROSS JOIN settling
  WHERE digest IS NOT NULL AND ledger.plan >= base AND (op IN ('join', 'leave') OR ledger.plan = base)
  GROUP BY digest
), known AS (
  SELECT newest.digest, newest.joined, CASE
    WHEN newest.op = 'member' OR (newest.op = 'join' AND done.plan IS NOT NULL) THEN 'in'
    WHEN newest.op = 'leave' AND done.plan IS NOT NULL THEN 'out'
    ELSE 'unsure' END AS state
  FROM newest
  LEFT JOIN (SELECT DISTINCT plan FROM ledger WHERE op IN ('settled', 'replaced')) done ON done.plan = newest.plan
), wanted AS (
  SELECT answer AS digest FROM pinterest_digests_${mirror_audience} WHERE length(answer) = 64
), compared AS (
  SELECT coalesce(wanted.digest, known.digest) AS digest, wanted.digest IS NOT NULL AS wanted,
    coalesce(known.state, 'out') AS state, known.joined
  FROM known FULL OUTER JOIN wanted ON known.digest = wanted.digest
), today AS (
  SELECT cast(to_unixtime(now()) * 1000 AS bigint) AS now_ms, cast(floor(to_unixtime(now()) / 86400) AS bigint) AS day
), share AS (
  -- What this day's share is of all members, so that as many days as resend_days send each once; less what went today.
  SELECT floor(day * members / days) - floor((day - 1) * members / days) - (
    SELECT coalesce(sum(planned.resent), 0) FROM ledger planned
    JOIN (SELECT plan FROM ledger WHERE op = 'settled') done ON done.plan = planned.plan CROSS JOIN today
    WHERE planned.op = 'planned' AND planned.plan >= today.day * 86400000) AS amount
  FROM today CROSS JOIN (
    SELECT count(*) AS members, cast(greatest(${mirror.resend_days}, 1) AS double) AS days
    FROM compared WHERE wanted AND state = 'in')
), due AS (
  SELECT digest, joined, substr(digest, 1, 4) AS part FROM compared CROSS JOIN today
  WHERE wanted AND state = 'in' AND ${mirror.resend_days} > 0
    AND joined < (day - ${mirror.resend_days} + 1) * 86400000
), parts AS (
  -- Those first whose last join is oldest; by parts, since one node alone would have to rank all of them.
  SELECT joined, part, sum(count(*)) OVER (ORDER BY joined, part) - count(*) AS before FROM due GROUP BY joined, part
), resent AS (
  SELECT due.digest FROM due JOIN parts ON parts.joined = due.joined AND parts.part = due.part CROSS JOIN share
  WHERE parts.before < share.amount
), change AS (
  SELECT digest, CASE WHEN wanted THEN 'join' ELSE 'leave' END AS op FROM compared
  WHERE (wanted AND state <> 'in') OR (NOT wanted AND state <> 'out')
), number AS (
  SELECT greatest(now_ms, settling.newest + 1) AS plan FROM today CROSS JOIN settling
), planned AS (
  SELECT digest, op, 0 AS again FROM change WHERE '${td.last_results.mode}' = 'difference'
  UNION ALL SELECT digest, 'join', 1 FROM resent WHERE '${td.last_results.mode}' = 'difference'
  UNION ALL SELECT digest, 'join', 0 FROM wanted WHERE '${td.last_results.mode}' = 'replace'
)
SELECT '${mirror_audience}', number.plan, planned.op, planned.digest,
  CASE WHEN planned.op = 'join' THEN number.plan END, cast(NULL AS bigint), cast(NULL AS bigint),
  cast(NULL AS varchar), cast(NULL AS varchar), cast(NULL AS varchar), CAST(to_unixtime(now()) AS bigint)
FROM planned CROSS JOIN number
UNION ALL
SELECT '${mirror_audience}', number.plan,
  CASE '${td.last_results.mode}' WHEN 'replace' THEN 'replacing' ELSE 'planned' END, cast(NULL AS varchar),
  cast(NULL AS bigint), (SELECT count(*) FROM planned), (SELECT sum(again) FROM planned),
  '${target.ad_account_id}', '${pinterest_mirror.customer_list_id}', '${session_uuid}', CAST(to_unixtime(now()) AS bigint)
FROM number
