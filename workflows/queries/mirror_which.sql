-- Made by `scripts/queries` from the operator's own rules: edit table and columns only.
-- The newest plan of this session, and `problem` if it must not be sent. A plan that was written twice at the same
-- moment has every row twice, its proof as well.
SELECT plan, '${td.last_results.mode}' AS mode, ${td.last_results.seen} AS seen,
  ${td.last_results.entries} + coalesce(written, 0) AS entries, ${td.last_results.plans} AS plans,
  ${td.last_results.people} AS people, ${td.last_results.suppressed} AS suppressed,
  ${td.last_results.without_consent} AS without_consent,
  ${td.last_results.control} AS control,
  CASE '${td.last_results.mode}' WHEN 'replace' THEN ${td.last_results.people}
    ELSE ${td.last_results.join_count} + ${td.last_results.resent_count} END AS join_count,
  CASE '${td.last_results.mode}' WHEN 'replace' THEN 0 ELSE ${td.last_results.leave_count} END AS leave_count,
  CASE '${td.last_results.mode}' WHEN 'replace' THEN 0 ELSE ${td.last_results.resent_count} END AS resent,
  CASE
    WHEN others > 0 THEN
      'another session has made a plan for this audience meanwhile. Nothing of this plan is sent any more. Run the '
      || 'workflow again, from its beginning'
    WHEN plan IS NULL THEN 'the ledger has no plan of this session. Nothing was sent. Run the workflow again'
    WHEN proofs = 0 OR written <> proofs * figure OR figure <> ${td.last_results.to_send} THEN
      'the plan in the ledger is not what was computed (' || cast(written AS varchar) || ' rows, not '
      || '${td.last_results.to_send}): an INSERT broke off. Nothing was sent. Run the workflow again'
    ELSE '' END AS problem
FROM (
  SELECT count_if(strange > 0) AS others, max(plan) AS plan, max_by(written, plan) AS written,
    max_by(proofs, plan) AS proofs, max_by(figure, plan) AS figure
  FROM (
    SELECT plan, count(digest) AS written, count_if(digest IS NULL) AS proofs, max(figure) AS figure,
      count_if(coalesce(session, '') <> '${session_uuid}' OR op NOT IN ('join', 'leave', 'planned', 'replacing')) AS strange
    FROM ${mirror.ledger}
    WHERE audience_id = '${mirror_audience}' AND plan > ${td.last_results.seen}
    GROUP BY plan))
