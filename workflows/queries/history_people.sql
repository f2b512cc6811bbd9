-- The size of each audience over time, as Pinterest counted it in the follow-ups.
SELECT audience_id, audience_name, from_unixtime(time) AS checked_at, audience_status, audience_size
FROM (
  SELECT *, row_number() OVER (
    PARTITION BY kind, session_uuid, attempt_id, task, audience_id, action ORDER BY time DESC) AS repetition
  FROM pinterest_history) AS every
WHERE repetition = 1 AND kind = 'follow-up'
ORDER BY audience_name, audience_id, time
