-- Made by `scripts/queries` from the operator's own rules: edit table and columns only.
-- What the ledger says before this day: a row, also when it holds nothing about the audience.
SELECT seen, settled, base, replacing, sent_plans, plans, entries, ad_account_id, customer_list_id, CASE
    WHEN ${mirror.rebuild} THEN 'replace'
    WHEN settled = 0 THEN CASE WHEN ${mirror.adopt} THEN 'difference' ELSE 'replace' END
    WHEN replacing > settled THEN 'replace'
    ELSE 'difference' END AS mode
FROM (
  SELECT
    coalesce(max(plan), 0) AS seen,
    coalesce(max(CASE WHEN op IN ('settled', 'replaced', 'compacted') THEN plan END), 0) AS settled,
    coalesce(max(CASE WHEN op IN ('replaced', 'compacted') THEN plan END), 0) AS base,
    coalesce(max(CASE WHEN op = 'replacing' THEN plan END), 0) AS replacing,
    coalesce(array_join(array_agg(cast(plan AS varchar)) FILTER (WHERE op IN ('settled', 'replaced')), ', '), '0')
      AS sent_plans,
    count(*) FILTER (WHERE op IN ('settled', 'replaced')) AS plans,
    count(*) AS entries,
    coalesce(max_by(ad_account_id, CASE WHEN op IN ('settled', 'replaced', 'compacted') THEN plan END), '') AS ad_account_id,
    coalesce(max_by(customer_list_id, CASE WHEN op IN ('settled', 'replaced', 'compacted') THEN plan END), '') AS customer_list_id
  FROM ${mirror.ledger} WHERE audience_id = '${mirror_audience}'
)
