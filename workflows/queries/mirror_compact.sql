-- Made by `python -m td_pinterest_op.warehouse` from the operator's own rules: edit table and columns only.
-- Writes the present state of every digest, a row each. It is not valid before mirror_compacted.sql says so.
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
), number AS (
  SELECT greatest(cast(to_unixtime(now()) * 1000 AS bigint), newest + 1) AS plan, newest AS seen
  FROM settling WHERE settled IS NOT NULL AND replacing <= settled
), state AS (
  SELECT digest, joined, CASE state WHEN 'in' THEN 'member' ELSE 'unsure' END AS op FROM known WHERE state <> 'out'
)
SELECT '${mirror_audience}', number.plan, state.op, state.digest, state.joined, cast(NULL AS bigint), cast(NULL AS bigint),
  cast(NULL AS varchar), cast(NULL AS varchar), cast(NULL AS varchar), CAST(to_unixtime(now()) AS bigint)
FROM state CROSS JOIN number
UNION ALL
SELECT '${mirror_audience}', number.plan, 'compacting', cast(NULL AS varchar), number.seen, (SELECT count(*) FROM state),
  cast(NULL AS bigint),
  (SELECT max_by(ad_account_id, plan) FROM ledger WHERE op IN ('settled', 'replaced', 'compacted')),
  (SELECT max_by(customer_list_id, plan) FROM ledger WHERE op IN ('settled', 'replaced', 'compacted')),
  '${session_uuid}', CAST(to_unixtime(now()) AS bigint)
FROM number
