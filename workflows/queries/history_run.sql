-- The row of a run: what the operator stored, or what the workflow set out to do (`intent`).
INSERT INTO ${history.table} (
  time, kind, outcome, workflow, session_time, session_uuid, attempt_id, action, ad_account_id, audience_id,
  audience_name, audience_status, audience_size, customer_list_id, previous_customer_list_id, job_id, dry_run,
  rows_read, rows_valid, rows_invalid, rows_invalid_by_reason, records_unique, records_duplicate, records_sent,
  records_refused, records_keys, requests_sent, requests_retried, requests_failed, seconds_reading, seconds_sending,
  seconds_waiting, version, summary, error
)
SELECT
  CAST(to_unixtime(current_timestamp) AS bigint) AS time,
  coalesce(json_extract_scalar(intent, '$.kind'), 'run') AS kind,
  '${typeof error === "undefined" ? "success" : "failed"}' AS outcome,
  '${task_name.split(/[+^]/)[1]}' AS workflow,
  '${session_time}' AS session_time,
  '${session_uuid}' AS session_uuid,
  '${attempt_id}' AS attempt_id,
  coalesce(json_extract_scalar(run, '$.action'), json_extract_scalar(intent, '$.action')) AS action,
  coalesce(json_extract_scalar(run, '$.ad_account_id'), json_extract_scalar(intent, '$.ad_account_id')) AS ad_account_id,
  coalesce(json_extract_scalar(run, '$.audience_id'), json_extract_scalar(intent, '$.audience_id')) AS audience_id,
  json_extract_scalar(run, '$.audience_name') AS audience_name,
  json_extract_scalar(run, '$.audience.status') AS audience_status,
  CAST(json_extract_scalar(run, '$.audience.size') AS bigint) AS audience_size,
  json_extract_scalar(run, '$.customer_list_id') AS customer_list_id,
  json_extract_scalar(run, '$.previous_customer_list_id') AS previous_customer_list_id,
  json_extract_scalar(run, '$.job_id') AS job_id,
  CAST(json_extract_scalar(run, '$.dry_run') AS boolean) AS dry_run,
  CAST(json_extract_scalar(run, '$.rows.read') AS bigint) AS rows_read,
  CAST(json_extract_scalar(run, '$.rows.valid') AS bigint) AS rows_valid,
  CAST(json_extract_scalar(run, '$.rows.invalid') AS bigint) AS rows_invalid,
  json_format(json_extract(run, '$.rows.invalid_by_reason')) AS rows_invalid_by_reason,
  CAST(json_extract_scalar(run, '$.records.unique') AS bigint) AS records_unique,
  CAST(json_extract_scalar(run, '$.records.duplicate') AS bigint) AS records_duplicate,
  CAST(json_extract_scalar(run, '$.records.sent') AS bigint) AS records_sent,
  CAST(json_extract_scalar(run, '$.records.refused') AS bigint) AS records_refused,
  CAST(json_extract_scalar(run, '$.records.keys') AS bigint) AS records_keys,
  CAST(json_extract_scalar(run, '$.requests.sent') AS bigint) AS requests_sent,
  CAST(json_extract_scalar(run, '$.requests.retried') AS bigint) AS requests_retried,
  CAST(json_extract_scalar(run, '$.requests.failed') AS bigint) AS requests_failed,
  CAST(json_extract_scalar(run, '$.seconds.reading') AS double) AS seconds_reading,
  CAST(json_extract_scalar(run, '$.seconds.sending') AS double) AS seconds_sending,
  CAST(json_extract_scalar(run, '$.seconds.waiting') AS double) AS seconds_waiting,
  json_extract_scalar(run, '$.version') AS version,
  json_extract_scalar(run, '$.summary') AS summary,
  nullif('${typeof error === "undefined" ? "" : error.message.substring(0, 1000).replace(/'/g, "''")}', '') AS error
FROM (
  SELECT
    json_parse('${(typeof pinterest === "undefined" ? typeof pinterest_erasure === "undefined" ? "null" : JSON.stringify(pinterest_erasure) : JSON.stringify(pinterest)).replace(/'/g, "''")}') AS run,
    json_parse('${(typeof intent === "undefined" ? "null" : JSON.stringify(intent)).replace(/'/g, "''")}') AS intent
) AS given
