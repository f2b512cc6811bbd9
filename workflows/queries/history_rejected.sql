-- The share of rejected values of each run, and the reasons.
SELECT audience_id, audience_name, session_time, rows_read, rows_valid, rows_invalid,
  round(100E0 * rows_invalid / (rows_valid + rows_invalid), 2) AS rejected_percent, rows_invalid_by_reason
FROM (
  SELECT *, row_number() OVER (
    PARTITION BY kind, session_uuid, attempt_id, task, audience_id, action ORDER BY time DESC) AS repetition
  FROM pinterest_history) AS every
WHERE repetition = 1 AND kind = 'run' AND rows_read > 0
ORDER BY audience_name, audience_id, time
