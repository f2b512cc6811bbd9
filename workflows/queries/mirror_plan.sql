-- Made by `scripts/queries` from the operator's own rules: edit table and columns only.
-- Writes the plan into the ledger. The `planned` row carries the number of its joins and leaves: the proof that it
-- is whole. Running this again writes another plan, alike and newer.
INSERT INTO ${mirror.ledger}
  (audience_id, plan, op, digest, joined, figure, resent, ad_account_id, customer_list_id, session, time)
SELECT '${mirror_audience}', number, op, digest, CASE op WHEN 'join' THEN number WHEN 'leave' THEN NULL ELSE seen END,
  figure, resent, ad_account_id, customer_list_id, '${session_uuid}', cast(to_unixtime(now()) AS bigint)
FROM (
  SELECT op, digest, figure, resent, ad_account_id, customer_list_id, ${td.last_results.seen} AS seen,
    greatest(cast(to_unixtime(now()) * 1000 AS bigint), ${td.last_results.seen} + 1) AS number
  FROM (
    SELECT CASE op WHEN 'leave' THEN 'leave' ELSE 'join' END AS op, digest, cast(NULL AS bigint) AS figure,
      cast(NULL AS bigint) AS resent, cast(NULL AS varchar) AS ad_account_id, cast(NULL AS varchar) AS customer_list_id
    FROM pinterest_changes_${mirror_stage}
    WHERE CASE '${td.last_results.mode}' WHEN 'replace' THEN op IN ('join', 'stay')
      ELSE op IN ('join', 'leave') OR (op = 'due' AND turn <= '${td.last_results.resent_to}') END
    UNION ALL
    SELECT CASE '${td.last_results.mode}' WHEN 'replace' THEN 'replacing' ELSE 'planned' END, NULL,
      ${td.last_results.to_send}, ${td.last_results.resent_count}, '${target.ad_account_id}',
      '${pinterest_mirror.customer_list_id}'))
