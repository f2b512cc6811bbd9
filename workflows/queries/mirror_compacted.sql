-- Made by `python -m td_pinterest_op.warehouse` from the operator's own rules: edit table and columns only.
-- Makes the compaction of this session valid, if it is whole and no plan was made since it looked.
INSERT INTO ${mirror.ledger} (audience_id, plan, op, digest, joined, figure, resent, ad_account_id, customer_list_id, session, time)
WITH ledger AS (
  SELECT * FROM ${mirror.ledger} WHERE audience_id = '${mirror_audience}'
), mine AS (
  SELECT max(plan) AS plan, max_by(joined, plan) AS seen, max_by(figure, plan) AS figure,
    max_by(ad_account_id, plan) AS ad_account_id, max_by(customer_list_id, plan) AS customer_list_id
  FROM ledger WHERE op = 'compacting' AND session = '${session_uuid}'
)
SELECT '${mirror_audience}', mine.plan, 'compacted', cast(NULL AS varchar), cast(NULL AS bigint), mine.figure,
  cast(NULL AS bigint), mine.ad_account_id, mine.customer_list_id, '${session_uuid}', CAST(to_unixtime(now()) AS bigint)
FROM mine
WHERE mine.plan IS NOT NULL
  AND mine.figure = (SELECT count(*) FROM ledger CROSS JOIN mine m
    WHERE ledger.plan = m.plan AND ledger.op IN ('member', 'unsure'))
  AND (SELECT count(*) FROM ledger CROSS JOIN mine m WHERE ledger.plan > m.seen AND ledger.plan <> m.plan) = 0
