-- Failed runs and follow-ups, the newest first, with their errors.
SELECT session_time, workflow, action, ad_account_id, audience_id, error, attempt_id
FROM (
  SELECT *, row_number() OVER (
    PARTITION BY kind, session_uuid, attempt_id, task, audience_id, action ORDER BY time DESC) AS repetition
  FROM pinterest_history) AS every
WHERE repetition = 1 AND outcome = 'failed'
ORDER BY time DESC
