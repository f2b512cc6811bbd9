-- Made by `python -m td_pinterest_op.warehouse` from the operator's own rules: edit table and columns only.
-- The plan that this session has just written, and `problem` if it must not be sent.
WITH ledger AS (
  SELECT * FROM ${mirror.ledger} WHERE audience_id = '${mirror_audience}'
), mine AS (
  SELECT max(plan) AS plan, max_by(op, plan) AS op, max_by(figure, plan) AS figure, max_by(resent, plan) AS resent
  FROM ledger WHERE op IN ('planned', 'replacing') AND session = '${session_uuid}'
), counted AS (
  SELECT mine.plan, mine.figure, mine.resent,
    CASE mine.op WHEN 'replacing' THEN 'replace' ELSE 'difference' END AS mode,
    (SELECT max(plan) FROM ledger) AS newest,
    (SELECT count(*) FROM ledger CROSS JOIN mine m WHERE ledger.plan = m.plan AND ledger.op = 'join') AS join_count,
    (SELECT count(*) FROM ledger CROSS JOIN mine m WHERE ledger.plan = m.plan AND ledger.op = 'leave') AS leave_count
  FROM mine
)
SELECT plan, mode, join_count, leave_count, resent, CASE
    WHEN plan IS NULL THEN 'the ledger has no plan of this session. Nothing was sent. Run the workflow again'
    WHEN newest > plan THEN 'a later session has made a plan for this audience. Nothing of this plan is sent any more'
    WHEN join_count + leave_count <> figure OR join_count + leave_count <> ${td.last_results.to_send} THEN
      'the plan in the ledger is not what was computed (' || cast(join_count + leave_count AS varchar) || ' rows, not '
      || '${td.last_results.to_send}): an INSERT broke off, or another session ran. Nothing was sent. '
      || 'Run the workflow again'
    ELSE '' END AS problem
FROM counted
