-- A row for each audience that the follow-up read.
INSERT INTO ${history.table} (
  time, kind, outcome, workflow, session_time, session_uuid, attempt_id, ad_account_id, audience_id, audience_name,
  audience_status, audience_size, usable, customer_list_id, customer_list_status, summary, members, match_ratio
)
SELECT
  CAST(to_unixtime(current_timestamp) AS bigint) AS time,
  'follow-up' AS kind,
  'success' AS outcome,
  '${task_name.split(/[+^]/)[1]}' AS workflow,
  '${session_time}' AS session_time,
  '${session_uuid}' AS session_uuid,
  '${attempt_id}' AS attempt_id,
  '${pinterest_status.ad_account_id}' AS ad_account_id,
  json_extract_scalar(audience, '$.audience_id') AS audience_id,
  json_extract_scalar(audience, '$.audience_name') AS audience_name,
  json_extract_scalar(audience, '$.status') AS audience_status,
  CAST(json_extract_scalar(audience, '$.size') AS bigint) AS audience_size,
  CAST(json_extract_scalar(audience, '$.usable') AS boolean) AS usable,
  json_extract_scalar(audience, '$.customer_list_id') AS customer_list_id,
  json_extract_scalar(audience, '$.customer_list_status') AS customer_list_status,
  json_extract_scalar(audience, '$.summary') AS summary,
  CAST(json_extract_scalar(audience, '$.members') AS bigint) AS members,
  CAST(json_extract_scalar(audience, '$.match_ratio') AS double) AS match_ratio
FROM UNNEST(CAST(json_parse('${(typeof pinterest_status === "undefined" ? "null" : JSON.stringify(pinterest_status.audiences)).replace(/'/g, "''")}') AS array(json))) AS given (audience)
