-- Made by `python -m td_pinterest_op.warehouse` from the operator's own rules: edit table and columns only.
-- Makes the compaction of this session valid, if it is whole and no plan was made since it looked.
INSERT INTO ${mirror.ledger}
  (audience_id, plan, op, digest, joined, figure, resent, ad_account_id, customer_list_id, session, time)
SELECT '${mirror_audience}', plan, 'compacted', NULL, NULL, figure, NULL, ad_account_id, customer_list_id, '${session_uuid}',
  cast(to_unixtime(now()) AS bigint)
FROM (
  SELECT count_if(strange > 0) AS others, max(plan) AS plan, max_by(digests, plan) AS digests,
    max_by(figure, plan) AS figure, max_by(ad_account_id, plan) AS ad_account_id,
    max_by(customer_list_id, plan) AS customer_list_id
  FROM (
    SELECT plan, count_if(coalesce(session, '') <> '${session_uuid}' OR op NOT IN ('member', 'unsure', 'compacting')) AS strange,
      count(digest) AS digests, max(CASE WHEN op = 'compacting' THEN figure END) AS figure,
      max(ad_account_id) AS ad_account_id, max(customer_list_id) AS customer_list_id
    FROM ${mirror.ledger}
    WHERE audience_id = '${mirror_audience}' AND plan > ${td.last_results.seen}
    GROUP BY plan))
WHERE others = 0 AND figure = digests
