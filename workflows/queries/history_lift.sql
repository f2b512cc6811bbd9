-- The row of a comparison with the control group: its figures as one JSON text.
INSERT INTO ${history.table} (
  time, kind, outcome, workflow, session_time, session_uuid, attempt_id, ad_account_id, audience_id, summary, lift
)
SELECT
  CAST(to_unixtime(current_timestamp) AS bigint) AS time,
  'lift' AS kind,
  'success' AS outcome,
  '${task_name.split(/[+^]/)[1]}' AS workflow,
  '${session_time}' AS session_time,
  '${session_uuid}' AS session_uuid,
  '${attempt_id}' AS attempt_id,
  '${target.ad_account_id}' AS ad_account_id,
  '${lift.audience_id}' AS audience_id,
  json_extract_scalar(lift, '$.summary') AS summary,
  json_format(lift) AS lift
FROM (SELECT json_parse('${(typeof td === "undefined" ? "null" : JSON.stringify(td.last_results)).replace(/'/g, "''")}') AS lift) AS given
