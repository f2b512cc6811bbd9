-- Made by `scripts/queries` from the operator's own rules: edit table and columns only.
-- All of the plan is on Pinterest. Not written if a plan that takes it into account was made meanwhile.
INSERT INTO ${mirror.ledger}
  (audience_id, plan, op, digest, joined, figure, resent, ad_account_id, customer_list_id, session, time)
SELECT '${mirror_audience}', ${td.last_results.plan},
  CASE '${td.last_results.mode}' WHEN 'replace' THEN 'replaced' ELSE 'settled' END, cast(NULL AS varchar),
  cast(NULL AS bigint), cast(NULL AS bigint), cast(NULL AS bigint), '${target.ad_account_id}',
  '${pinterest.customer_list_id}', '${session_uuid}', cast(to_unixtime(now()) AS bigint)
FROM (
  SELECT coalesce(max(CASE WHEN digest IS NULL AND joined >= ${td.last_results.plan} THEN plan END), ${td.last_results.plan}) AS newest FROM ${mirror.ledger} WHERE audience_id = '${mirror_audience}'
) WHERE newest = ${td.last_results.plan}
