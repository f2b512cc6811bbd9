-- One row that counts the people of both groups and those who converted. Everybody of a group counts, whether Pinterest
-- reached them or not. The next task compares the groups.
SELECT
  count_if(arms.arm = 'sent') AS people_sent,
  count_if(arms.arm = 'sent' AND conversions.key IS NOT NULL) AS converted_sent,
  count_if(arms.arm = 'control') AS people_control,
  count_if(arms.arm = 'control' AND conversions.key IS NOT NULL) AS converted_control
FROM pinterest_arms_${lift.audience_id} AS arms
LEFT JOIN (
  SELECT DISTINCT CAST(${lift.conversions_key} AS varchar) AS key
  FROM ${lift.conversions}
  WHERE ${lift.conversions_time} >= CAST(to_unixtime(from_iso8601_timestamp('${lift.start}T00:00:00Z')) AS bigint)
) AS conversions ON arms.key = conversions.key
