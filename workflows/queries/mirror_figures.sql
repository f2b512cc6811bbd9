-- Made by `scripts/queries` from the operator's own rules: edit table and columns only.
-- What this day would change, and `problem`, which stops the mirror before it writes anything; empty for none.
-- `resent_to`: the last turn of those who are sent again.
SELECT mode, given, rejected, reasons, unsure, withheld, suppressed, without_consent, control, people, members,
  join_count, leave_count, resent_count, resent_to,
  ${td.last_results.seen} AS seen, ${td.last_results.entries} AS entries, ${td.last_results.plans} AS plans,
  CASE WHEN mode = 'replace' THEN people ELSE join_count + resent_count + leave_count END AS to_send,
  CASE
    WHEN mode = 'difference' AND '${td.last_results.ad_account_id}' NOT IN ('', '${target.ad_account_id}') THEN
      'the ledger is about ad account ${td.last_results.ad_account_id}, and config/pinterest.yml names '
      || '${target.ad_account_id}. Nothing was sent. Correct the id, or set rebuild: true in config/mirror.yml for '
      || 'one run to begin anew'
    WHEN mode = 'difference'
      AND '${td.last_results.customer_list_id}' NOT IN ('', '${pinterest_mirror.customer_list_id}') THEN
      'customer list ${pinterest_mirror.customer_list_id} is behind the audience now, and the mirror has filled list '
      || '${td.last_results.customer_list_id}: somebody else moved the audience. Nothing was sent. '
      || 'Set rebuild: true in config/mirror.yml for one run to replace its people and begin anew'
    WHEN ${td.last_results.settled} = 0 AND ${pinterest_mirror.people} > 1
      AND NOT (${mirror.rebuild} OR ${mirror.adopt} OR '${mirror.begin}' = 'replace') THEN
      'the mirror has not filled this audience yet, and it has ${pinterest_mirror.people} people. Nothing was sent. '
      || 'In config/mirror.yml set begin: replace if the query''s people are to take their place, or adopt: true if '
      || 'they are to stay beside them'
    WHEN people = 0 AND withheld <> '' THEN
      'everybody whom the query finds is withheld (' || withheld || '). Nothing was sent. Correct queries/people.sql'
      || CASE WHEN suppressed > 0 THEN ' or queries/suppressed.sql' ELSE '' END
      || CASE WHEN without_consent > 0 THEN ' or queries/consented.sql' ELSE '' END
      || CASE WHEN control > 0 THEN ' or control in config/mirror.yml' ELSE '' END
    WHEN people < ${mirror.min_records} THEN
      'the query finds ' || cast(people AS varchar) || ' people (' || cast(rejected AS varchar)
      || ' values are rejected), fewer than min_records (${mirror.min_records}). Nothing was sent. Correct queries/people.sql, or lower min_records in '
      || 'config/mirror.yml'
    WHEN ${td.last_results.settled} > 0 AND leave_count > ${mirror.max_leave_ratio} * members THEN
      cast(leave_count AS varchar) || ' of ' || cast(members AS varchar) || ' members would leave, and the query finds '
      || cast(people AS varchar) || ' people: a greater share than max_leave_ratio (${mirror.max_leave_ratio}). '
      || 'Nothing was sent. Correct queries/people.sql, or raise max_leave_ratio in config/mirror.yml for one run'
    ELSE '' END AS problem
FROM (
  SELECT '${td.last_results.mode}' AS mode, coalesce(sum(CASE WHEN op <> 'withheld' THEN given END), 0) AS given,
    coalesce(sum(CASE WHEN op = 'rejected' THEN given END), 0) AS rejected,
    coalesce(array_join(array_agg(reason || ' ' || cast(given AS varchar) ORDER BY reason)
      FILTER (WHERE op = 'rejected'), ', '), '') AS reasons,
    coalesce(array_join(array_agg(reason || ' ' || cast(given AS varchar) ORDER BY reason)
      FILTER (WHERE op = 'withheld'), ', '), '') AS withheld,
    coalesce(sum(CASE WHEN reason = 'suppressed' THEN given END), 0) AS suppressed,
    coalesce(sum(CASE WHEN reason = 'without_consent' THEN given END), 0) AS without_consent,
    coalesce(sum(CASE WHEN reason = 'control' THEN given END), 0) AS control,
    coalesce(sum(CASE WHEN reason = 'unsure' THEN given END), 0) AS unsure,
    coalesce(sum(CASE WHEN op IN ('join', 'stay', 'due') THEN people END), 0) AS people,
    coalesce(sum(CASE WHEN member AND op <> 'rejected' THEN people END), 0) AS members,
    coalesce(sum(CASE WHEN op = 'join' THEN people END), 0) AS join_count,
    coalesce(sum(CASE WHEN op = 'leave' THEN people END), 0) AS leave_count,
    coalesce(sum(CASE WHEN op = 'due' AND earlier < share THEN people END), 0) AS resent_count,
    coalesce(max(CASE WHEN op = 'due' AND earlier < share THEN turn END), '') AS resent_to
  FROM (
    -- The share of all days since the last settled plan, but of none before the first was due, and a quarter at most.
    SELECT op, member, turn, reason, people, given, earlier, least(greatest(floor(staying / 4), 1),
      floor(day * staying / days) - floor((day - least(day - settled_day, day - first_day - days + 1)) * staying / days)
      ) AS share
    FROM (
      SELECT op, member, turn, reason, people, given,
        sum(CASE WHEN op = 'due' THEN people ELSE 0 END) OVER (ORDER BY turn) - people AS earlier,
        cast(sum(CASE WHEN op IN ('stay', 'due') THEN people ELSE 0 END) OVER () AS double) AS staying,
        floor(cast(substr(min(turn) OVER (), 1, 13) AS bigint) / 86400000e0) AS first_day,
        floor(${td.last_results.settled} / 86400000e0) AS settled_day,
        floor(to_unixtime(now()) / 86400) AS day, cast(greatest(${mirror.resend_days}, 1) AS double) AS days
      FROM (
        SELECT op, member, turn, CASE WHEN op IN ('rejected', 'withheld') THEN digest END AS reason,
          sum(people) AS people, sum(given) AS given
        FROM pinterest_changes_${mirror_stage}
        GROUP BY op, member, turn, CASE WHEN op IN ('rejected', 'withheld') THEN digest END))))
