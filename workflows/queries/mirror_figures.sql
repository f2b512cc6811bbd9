-- Made by `python -m td_pinterest_op.warehouse` from the operator's own rules: edit table and columns only.
-- What this day would change, and `problem`, which stops the mirror before it writes anything; empty for none.
WITH ledger AS (
  SELECT * FROM ${mirror.ledger} WHERE audience_id = '${mirror_audience}'
), settling AS (
  SELECT
    max(CASE WHEN op IN ('settled', 'replaced', 'compacted') THEN plan END) AS settled,
    coalesce(max(CASE WHEN op IN ('replaced', 'compacted') THEN plan END), 0) AS base,
    coalesce(max(CASE WHEN op = 'replacing' THEN plan END), 0) AS replacing,
    coalesce(max(plan), 0) AS newest
  FROM ledger
), newest AS (
  SELECT digest, max(ledger.plan) AS plan, max_by(op, ledger.plan) AS op, max_by(joined, ledger.plan) AS joined
  FROM ledger CROSS JOIN settling
  WHERE digest IS NOT NULL AND ledger.plan >= base AND (op IN ('join', 'leave') OR ledger.plan = base)
  GROUP BY digest
), known AS (
  SELECT newest.digest, newest.joined, CASE
    WHEN newest.op = 'member' OR (newest.op = 'join' AND done.plan IS NOT NULL) THEN 'in'
    WHEN newest.op = 'leave' AND done.plan IS NOT NULL THEN 'out'
    ELSE 'unsure' END AS state
  FROM newest
  LEFT JOIN (SELECT DISTINCT plan FROM ledger WHERE op IN ('settled', 'replaced')) done ON done.plan = newest.plan
), wanted AS (
  SELECT answer AS digest FROM pinterest_digests_${mirror_audience} WHERE length(answer) = 64
), compared AS (
  SELECT coalesce(wanted.digest, known.digest) AS digest, wanted.digest IS NOT NULL AS wanted,
    coalesce(known.state, 'out') AS state, known.joined
  FROM known FULL OUTER JOIN wanted ON known.digest = wanted.digest
), today AS (
  SELECT cast(to_unixtime(now()) * 1000 AS bigint) AS now_ms, cast(floor(to_unixtime(now()) / 86400) AS bigint) AS day
), share AS (
  -- What this day's share is of all members, so that as many days as resend_days send each once; less what went today.
  SELECT floor(day * members / days) - floor((day - 1) * members / days) - (
    SELECT coalesce(sum(planned.resent), 0) FROM ledger planned
    JOIN (SELECT plan FROM ledger WHERE op = 'settled') done ON done.plan = planned.plan CROSS JOIN today
    WHERE planned.op = 'planned' AND planned.plan >= today.day * 86400000) AS amount
  FROM today CROSS JOIN (
    SELECT count(*) AS members, cast(greatest(${mirror.resend_days}, 1) AS double) AS days
    FROM compared WHERE wanted AND state = 'in')
), due AS (
  SELECT digest, joined, substr(digest, 1, 4) AS part FROM compared CROSS JOIN today
  WHERE wanted AND state = 'in' AND ${mirror.resend_days} > 0
    AND joined < (day - ${mirror.resend_days} + 1) * 86400000
), parts AS (
  -- Those first whose last join is oldest; by parts, since one node alone would have to rank all of them.
  SELECT joined, part, sum(count(*)) OVER (ORDER BY joined, part) - count(*) AS before FROM due GROUP BY joined, part
), resent AS (
  SELECT due.digest FROM due JOIN parts ON parts.joined = due.joined AND parts.part = due.part CROSS JOIN share
  WHERE parts.before < share.amount
), change AS (
  SELECT digest, CASE WHEN wanted THEN 'join' ELSE 'leave' END AS op FROM compared
  WHERE (wanted AND state <> 'in') OR (NOT wanted AND state <> 'out')
), figures AS (
  SELECT
    (SELECT coalesce(sum(amount), 0) FROM pinterest_digests_${mirror_audience}) AS given,
    (SELECT coalesce(sum(amount), 0) FROM pinterest_digests_${mirror_audience} WHERE length(answer) < 64) AS rejected,
    (SELECT coalesce(array_join(array_agg(answer || ' ' || cast(amount AS varchar) ORDER BY answer), ', '), '')
      FROM pinterest_digests_${mirror_audience} WHERE length(answer) < 64) AS reasons,
    (SELECT count(*) FROM wanted) AS people,
    (SELECT count(*) FROM known WHERE state <> 'out') AS members,
    (SELECT count(*) FROM change WHERE op = 'join') AS join_count,
    (SELECT count(*) FROM change WHERE op = 'leave') AS leave_count,
    (SELECT count(*) FROM resent) AS resent_count,
    (SELECT max_by(customer_list_id, plan) FROM ledger WHERE op IN ('settled', 'replaced', 'compacted')) AS list_id,
    (SELECT max_by(ad_account_id, plan) FROM ledger WHERE op IN ('settled', 'replaced', 'compacted')) AS account_id,
    settled, CASE
    WHEN ${mirror.rebuild} THEN 'replace'
    WHEN settled IS NULL THEN CASE WHEN ${mirror.adopt} THEN 'difference' ELSE 'replace' END
    WHEN replacing > settled THEN 'replace'
    ELSE 'difference' END AS mode
  FROM settling
)
SELECT mode, given, rejected, reasons, people, members, join_count, leave_count, resent_count,
  CASE WHEN mode = 'replace' THEN people ELSE join_count + resent_count + leave_count END AS to_send,
  CASE
    WHEN mode = 'difference' AND account_id <> '${target.ad_account_id}' THEN
      'the ledger is about ad account ' || account_id || ', and config/pinterest.yml names ${target.ad_account_id}. '
      || 'Nothing was sent. Correct the id, or set rebuild: true in config/mirror.yml for one run to begin anew'
    WHEN mode = 'difference' AND list_id <> '${pinterest_mirror.customer_list_id}' THEN
      'customer list ${pinterest_mirror.customer_list_id} is behind the audience now, and the mirror has filled list '
      || list_id || ': somebody else moved the audience. Nothing was sent. Set rebuild: true in config/mirror.yml for '
      || 'one run to replace its people and begin anew'
    WHEN people < ${mirror.min_records} THEN
      'the query finds ' || cast(people AS varchar) || ' people (' || cast(rejected AS varchar)
      || ' values are rejected), fewer than min_records (${mirror.min_records}). Nothing was sent. Correct queries/people.sql, or lower min_records in '
      || 'config/mirror.yml'
    WHEN settled IS NOT NULL AND leave_count > ${mirror.max_leave_ratio} * members THEN
      cast(leave_count AS varchar) || ' of ' || cast(members AS varchar) || ' members would leave, and the query finds '
      || cast(people AS varchar) || ' people: a greater share than max_leave_ratio (${mirror.max_leave_ratio}). '
      || 'Nothing was sent. Correct queries/people.sql, or raise max_leave_ratio in config/mirror.yml for one run'
    ELSE '' END AS problem
FROM figures
