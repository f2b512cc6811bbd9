-- The last run of each audience.
SELECT ad_account_id, audience_id, audience_name, outcome, session_time, action,
  rows_read, rows_invalid, records_sent, summary, error
FROM (
  SELECT *, row_number() OVER (PARTITION BY ad_account_id, audience_id ORDER BY time DESC) AS place
  FROM pinterest_history
  WHERE kind = 'run') AS runs
WHERE place = 1
ORDER BY audience_name, audience_id
