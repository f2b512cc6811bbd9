-- Made by `python -m td_pinterest_op.warehouse` from the operator's own rules: edit table and columns only.
-- The newest plan of this session, and `problem` if it must not be sent.
SELECT plan, '${td.last_results.mode}' AS mode, ${td.last_results.seen} AS seen,
  ${td.last_results.entries} + coalesce(figure, 0) AS entries, ${td.last_results.plans} AS plans,
  ${td.last_results.people} AS people, join_count, leave_count, resent, CASE
    WHEN others > 0 THEN
      'another session has made a plan for this audience meanwhile. Nothing of this plan is sent any more. Run the '
      || 'workflow again, from its beginning'
    WHEN plan IS NULL THEN 'the ledger has no plan of this session. Nothing was sent. Run the workflow again'
    WHEN join_count + leave_count <> figure OR figure <> ${td.last_results.to_send} THEN
      'the plan in the ledger is not what was computed (' || cast(join_count + leave_count AS varchar) || ' rows, not '
      || '${td.last_results.to_send}): an INSERT broke off. Nothing was sent. Run the workflow again'
    ELSE '' END AS problem
FROM (
  SELECT count_if(strange > 0) AS others, max(plan) AS plan, max_by(join_count, plan) AS join_count,
    max_by(leave_count, plan) AS leave_count, max_by(figure, plan) AS figure, max_by(resent, plan) AS resent
  FROM (
    SELECT plan, count_if(op = 'join') AS join_count, count_if(op = 'leave') AS leave_count,
      coalesce(max(figure), -1) AS figure, coalesce(max(resent), 0) AS resent,
      count_if(coalesce(session, '') <> '${session_uuid}' OR op NOT IN ('join', 'leave', 'planned', 'replacing')) AS strange
    FROM ${mirror.ledger}
    WHERE audience_id = '${mirror_audience}' AND plan > ${td.last_results.seen}
    GROUP BY plan))
