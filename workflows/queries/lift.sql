-- One row that compares the conversions of the people who were sent with those of the control group. Everybody of a group
-- counts, whether Pinterest reached them or not. Intervals are 95 %: Newcombe's hybrid score for the difference of two
-- shares, and that of the logarithm for their ratio. split_p: the probability that chance splits the people into groups at
-- least as uneven as these (binomial, by its normal approximation with the correction for continuity).
SELECT
  *,
  CASE
    WHEN coalesce(people_sent, 0) = 0 OR coalesce(people_control, 0) = 0
      THEN 'Do not trust this comparison: one of the two groups is empty.'
    WHEN split_p < 0.001
      THEN 'Do not trust this comparison: ' || CAST(people_control AS varchar) || ' of ' || CAST(people_sent + people_control AS varchar)
        || ' people are in the control group, which is hardly chance. Check percent, salt and queries/control.sql.'
    WHEN least(converted_sent, converted_control) < 10
      THEN 'Do not trust this comparison: too few people converted (' || CAST(converted_sent AS varchar) || ' of those sent, '
        || CAST(converted_control AS varchar) || ' of the control group). Wait for ten in each group.'
    WHEN lift_absolute_low > 0
      THEN 'The audience brought conversions: the interval of the lift lies above zero.'
    WHEN lift_absolute_high < 0
      THEN 'Those who were sent converted less than the control group: the interval of the lift lies below zero.'
    ELSE 'No difference can be told: the interval of the lift contains zero.'
  END AS summary
FROM (
  SELECT
    people_sent, converted_sent, rate_sent,
    people_control, converted_control, rate_control,
    rate_sent - rate_control AS lift_absolute,
    rate_sent - rate_control - sqrt(power(rate_sent - low_sent, 2) + power(high_control - rate_control, 2)) AS lift_absolute_low,
    rate_sent - rate_control + sqrt(power(high_sent - rate_sent, 2) + power(rate_control - low_control, 2)) AS lift_absolute_high,
    ratio - 1 AS lift_relative,
    ratio * exp(-1.959964E0 * ratio_error) - 1 AS lift_relative_low,
    ratio * exp(1.959964E0 * ratio_error) - 1 AS lift_relative_high,
    least(1E0, 2 * (1 - normal_cdf(0E0, 1E0, split_z))) AS split_p
  FROM (
    SELECT
      *,
      (rate_sent + 1.920729E0 / people_sent - 1.959964E0 * sqrt(rate_sent * (1 - rate_sent) / people_sent
        + 0.960365E0 / people_sent / people_sent)) / (1 + 3.841459E0 / people_sent) AS low_sent,
      (rate_sent + 1.920729E0 / people_sent + 1.959964E0 * sqrt(rate_sent * (1 - rate_sent) / people_sent
        + 0.960365E0 / people_sent / people_sent)) / (1 + 3.841459E0 / people_sent) AS high_sent,
      (rate_control + 1.920729E0 / people_control - 1.959964E0 * sqrt(rate_control * (1 - rate_control) / people_control
        + 0.960365E0 / people_control / people_control)) / (1 + 3.841459E0 / people_control) AS low_control,
      (rate_control + 1.920729E0 / people_control + 1.959964E0 * sqrt(rate_control * (1 - rate_control) / people_control
        + 0.960365E0 / people_control / people_control)) / (1 + 3.841459E0 / people_control) AS high_control,
      rate_sent / nullif(rate_control, 0) AS ratio,
      sqrt(1E0 / nullif(converted_sent, 0) - 1E0 / people_sent + 1E0 / nullif(converted_control, 0) - 1E0 / people_control)
        AS ratio_error,
      greatest(abs(people_control - (people_sent + people_control) * share) - 0.5E0, 0E0)
        / sqrt((people_sent + people_control) * share * (1 - share)) AS split_z
    FROM (
      SELECT
        nullif(count_if(arms.arm = 'sent'), 0) AS people_sent,
        count_if(arms.arm = 'sent' AND conversions.key IS NOT NULL) AS converted_sent,
        CAST(count_if(arms.arm = 'sent' AND conversions.key IS NOT NULL) AS double) / nullif(count_if(arms.arm = 'sent'), 0) AS rate_sent,
        nullif(count_if(arms.arm = 'control'), 0) AS people_control,
        count_if(arms.arm = 'control' AND conversions.key IS NOT NULL) AS converted_control,
        CAST(count_if(arms.arm = 'control' AND conversions.key IS NOT NULL) AS double) / nullif(count_if(arms.arm = 'control'), 0)
          AS rate_control,
        ${Math.round(lift.percent * 100)} / 10000E0 AS share
      FROM pinterest_arms_${lift.audience_id} AS arms
      LEFT JOIN (
        SELECT DISTINCT CAST(${lift.conversions_key} AS varchar) AS key
        FROM ${lift.conversions}
        WHERE ${lift.conversions_time} >= CAST(to_unixtime(from_iso8601_timestamp('${lift.start}T00:00:00Z')) AS bigint)
      ) AS conversions ON arms.key = conversions.key
    ) AS counted
  ) AS bounded
) AS compared
