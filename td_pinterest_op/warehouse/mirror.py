"""Trino's SQL of the mirror's ledger, as files for workflows/queries; digdag fills in `${…}`.

The ledger is an append-only table; changes stand in it before they are sent. Its rows, by `op`:

    join, leave          a digest that a plan makes a member, or no member; `joined` is the plan of the last join
    planned, replacing   a plan by differences, or by a replace, is whole: `figure` counts its joins and leaves,
                         `resent` those joins that only send members again
    settled, replaced    all of such a plan is on Pinterest: in `customer_list_id` of `ad_account_id`
    member, unsure       the present state of a digest, written by a compaction
    compacting           a compaction is whole: `figure` counts its rows, `joined` is the newest plan that it has seen
    compacted            such a compaction is valid

A plan is a number that grows: milliseconds of Unix time. The newest replaced or compacted plan is the base; rows of
earlier plans mean nothing any more. A digest is a member if its newest row is a join of a settled plan. Whatever an
unsettled plan has touched is unsure: the next plan makes it join or leave again.
"""

from __future__ import annotations

from collections.abc import Mapping

from td_pinterest_op.warehouse.hashing import full

_LEDGER = "${mirror.ledger}"
_AUDIENCE = "${mirror_audience}"
_DAY = 86_400_000  # milliseconds

# CTEs: `known` has each digest of the ledger with its state, in, out or unsure; `settling` the newest of each event.
_KNOWN = f"""ledger AS (
  SELECT * FROM {_LEDGER} WHERE audience_id = '{_AUDIENCE}'
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
)"""

# CTEs: `change` has what a plan by differences does, `resent` the members who are sent again.
_CHANGE = f"""wanted AS (
  SELECT answer AS digest FROM pinterest_digests_{_AUDIENCE} WHERE length(answer) = 64
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
    WHERE planned.op = 'planned' AND planned.plan >= today.day * {_DAY}) AS amount
  FROM today CROSS JOIN (
    SELECT count(*) AS members, cast(greatest(${{mirror.resend_days}}, 1) AS double) AS days
    FROM compared WHERE wanted AND state = 'in')
), due AS (
  SELECT digest, joined, substr(digest, 1, 4) AS part FROM compared CROSS JOIN today
  WHERE wanted AND state = 'in' AND ${{mirror.resend_days}} > 0
    AND joined < (day - ${{mirror.resend_days}} + 1) * {_DAY}
), parts AS (
  -- Those first whose last join is oldest; by parts, since one node alone would have to rank all of them.
  SELECT joined, part, sum(count(*)) OVER (ORDER BY joined, part) - count(*) AS before FROM due GROUP BY joined, part
), resent AS (
  SELECT due.digest FROM due JOIN parts ON parts.joined = due.joined AND parts.part = due.part CROSS JOIN share
  WHERE parts.before < share.amount
), change AS (
  SELECT digest, CASE WHEN wanted THEN 'join' ELSE 'leave' END AS op FROM compared
  WHERE (wanted AND state <> 'in') OR (NOT wanted AND state <> 'out')
)"""

_SETUP = f"""-- The mirror's ledger, made once: running this again changes nothing.
CREATE TABLE IF NOT EXISTS {_LEDGER}
WITH (bucketed_on = array['audience_id'], bucket_count = 512) AS
SELECT cast(NULL AS varchar) AS audience_id, cast(NULL AS bigint) AS plan, cast(NULL AS varchar) AS op,
  cast(NULL AS varchar) AS digest, cast(NULL AS bigint) AS joined, cast(NULL AS bigint) AS figure,
  cast(NULL AS bigint) AS resent, cast(NULL AS varchar) AS ad_account_id, cast(NULL AS varchar) AS customer_list_id,
  cast(NULL AS varchar) AS session, cast(NULL AS bigint) AS time
WHERE false
"""

_COLUMNS = (
    "audience_id, plan, op, digest, joined, figure, resent, ad_account_id, customer_list_id, session, time",
    "CAST(to_unixtime(now()) AS bigint)",
)
_STAGED = f"FROM pinterest_people_{_AUDIENCE}"
_VALUES = f"""
        SELECT 'email' AS type, ${{pinterest_mirror.columns.email}} AS value {_STAGED}
        WHERE ${{pinterest_mirror.columns.email}} IS NOT NULL
        UNION ALL SELECT 'maid', ${{pinterest_mirror.columns.maid}} {_STAGED}
        WHERE ${{pinterest_mirror.columns.maid}} IS NOT NULL
        UNION ALL SELECT 'idfa', ${{pinterest_mirror.columns.idfa}} {_STAGED}
        WHERE ${{pinterest_mirror.columns.idfa}} IS NOT NULL
        UNION ALL SELECT 'email', NULL {_STAGED}
        WHERE coalesce(${{pinterest_mirror.columns.email}}, ${{pinterest_mirror.columns.maid}},
          ${{pinterest_mirror.columns.idfa}}) IS NULL"""

_HASHED = f"""-- The people of the day as digests, and how often each reason of rejection occurs.
SELECT answer, count(*) AS amount FROM (
{full(_VALUES)}
)
GROUP BY answer
"""

_MODE = """CASE
    WHEN ${mirror.rebuild} THEN 'replace'
    WHEN settled IS NULL THEN CASE WHEN ${mirror.adopt} THEN 'difference' ELSE 'replace' END
    WHEN replacing > settled THEN 'replace'
    ELSE 'difference' END"""
_AND_THEN = "Nothing was sent. Correct queries/people.sql, or"

_FIGURES = f"""\
-- What this day would change, and `problem`, which stops the mirror before it writes anything; empty for none.
WITH {_KNOWN}, {_CHANGE}, figures AS (
  SELECT
    (SELECT coalesce(sum(amount), 0) FROM pinterest_digests_{_AUDIENCE}) AS given,
    (SELECT coalesce(sum(amount), 0) FROM pinterest_digests_{_AUDIENCE} WHERE length(answer) < 64) AS rejected,
    (SELECT coalesce(array_join(array_agg(answer || ' ' || cast(amount AS varchar) ORDER BY answer), ', '), '')
      FROM pinterest_digests_{_AUDIENCE} WHERE length(answer) < 64) AS reasons,
    (SELECT count(*) FROM wanted) AS people,
    (SELECT count(*) FROM known WHERE state <> 'out') AS members,
    (SELECT count(*) FROM change WHERE op = 'join') AS join_count,
    (SELECT count(*) FROM change WHERE op = 'leave') AS leave_count,
    (SELECT count(*) FROM resent) AS resent_count,
    (SELECT max_by(customer_list_id, plan) FROM ledger WHERE op IN ('settled', 'replaced', 'compacted')) AS list_id,
    (SELECT max_by(ad_account_id, plan) FROM ledger WHERE op IN ('settled', 'replaced', 'compacted')) AS account_id,
    settled, {_MODE} AS mode
  FROM settling
)
SELECT mode, given, rejected, reasons, people, members, join_count, leave_count, resent_count,
  CASE WHEN mode = 'replace' THEN people ELSE join_count + resent_count + leave_count END AS to_send,
  CASE
    WHEN mode = 'difference' AND account_id <> '${{target.ad_account_id}}' THEN
      'the ledger is about ad account ' || account_id || ', and config/pinterest.yml names ${{target.ad_account_id}}. '
      || 'Nothing was sent. Correct the id, or set rebuild: true in config/mirror.yml for one run to begin anew'
    WHEN mode = 'difference' AND list_id <> '${{pinterest_mirror.customer_list_id}}' THEN
      'customer list ${{pinterest_mirror.customer_list_id}} is behind the audience now, and the mirror has filled list '
      || list_id || ': somebody else moved the audience. Nothing was sent. Set rebuild: true in config/mirror.yml for '
      || 'one run to replace its people and begin anew'
    WHEN people < ${{mirror.min_records}} THEN
      'the query finds ' || cast(people AS varchar) || ' people (' || cast(rejected AS varchar)
      || ' values are rejected), fewer than min_records (${{mirror.min_records}}). {_AND_THEN} lower min_records in '
      || 'config/mirror.yml'
    WHEN settled IS NOT NULL AND leave_count > ${{mirror.max_leave_ratio}} * members THEN
      cast(leave_count AS varchar) || ' of ' || cast(members AS varchar) || ' members would leave, and the query finds '
      || cast(people AS varchar) || ' people: a greater share than max_leave_ratio (${{mirror.max_leave_ratio}}). '
      || '{_AND_THEN} raise max_leave_ratio in config/mirror.yml for one run'
    ELSE '' END AS problem
FROM figures
"""

_PLAN = f"""\
-- Writes the plan into the ledger. The `planned` row carries the number of its joins and leaves: the proof that it
-- is whole.
INSERT INTO {_LEDGER} ({_COLUMNS[0]})
WITH {_KNOWN}, {_CHANGE}, number AS (
  SELECT greatest(now_ms, settling.newest + 1) AS plan FROM today CROSS JOIN settling
), planned AS (
  SELECT digest, op, 0 AS again FROM change WHERE '${{td.last_results.mode}}' = 'difference'
  UNION ALL SELECT digest, 'join', 1 FROM resent WHERE '${{td.last_results.mode}}' = 'difference'
  UNION ALL SELECT digest, 'join', 0 FROM wanted WHERE '${{td.last_results.mode}}' = 'replace'
)
SELECT '{_AUDIENCE}', number.plan, planned.op, planned.digest,
  CASE WHEN planned.op = 'join' THEN number.plan END, cast(NULL AS bigint), cast(NULL AS bigint),
  cast(NULL AS varchar), cast(NULL AS varchar), cast(NULL AS varchar), {_COLUMNS[1]}
FROM planned CROSS JOIN number
UNION ALL
SELECT '{_AUDIENCE}', number.plan,
  CASE '${{td.last_results.mode}}' WHEN 'replace' THEN 'replacing' ELSE 'planned' END, cast(NULL AS varchar),
  cast(NULL AS bigint), (SELECT count(*) FROM planned), (SELECT sum(again) FROM planned),
  '${{target.ad_account_id}}', '${{pinterest_mirror.customer_list_id}}', '${{session_uuid}}', {_COLUMNS[1]}
FROM number
"""

_WHICH = f"""-- The plan that this session has just written, and `problem` if it must not be sent.
WITH ledger AS (
  SELECT * FROM {_LEDGER} WHERE audience_id = '{_AUDIENCE}'
), mine AS (
  SELECT max(plan) AS plan, max_by(op, plan) AS op, max_by(figure, plan) AS figure, max_by(resent, plan) AS resent
  FROM ledger WHERE op IN ('planned', 'replacing') AND session = '${{session_uuid}}'
), counted AS (
  SELECT mine.plan, mine.figure, mine.resent,
    CASE mine.op WHEN 'replacing' THEN 'replace' ELSE 'difference' END AS mode,
    (SELECT max(plan) FROM ledger) AS newest,
    (SELECT count(*) FROM ledger CROSS JOIN mine m WHERE ledger.plan = m.plan AND ledger.op = 'join') AS join_count,
    (SELECT count(*) FROM ledger CROSS JOIN mine m WHERE ledger.plan = m.plan AND ledger.op = 'leave') AS leave_count
  FROM mine
)
SELECT plan, mode, join_count, leave_count, resent, CASE
    WHEN plan IS NULL THEN 'the ledger has no plan of this session. Nothing was sent. Run the workflow again'
    WHEN newest > plan THEN 'a later session has made a plan for this audience. Nothing of this plan is sent any more'
    WHEN join_count + leave_count <> figure OR join_count + leave_count <> ${{td.last_results.to_send}} THEN
      'the plan in the ledger is not what was computed (' || cast(join_count + leave_count AS varchar) || ' rows, not '
      || '${{td.last_results.to_send}}): an INSERT broke off, or another session ran. Nothing was sent. '
      || 'Run the workflow again'
    ELSE '' END AS problem
FROM counted
"""

_SETTLE = f"""-- All of the plan is on Pinterest.
INSERT INTO {_LEDGER} ({_COLUMNS[0]})
SELECT '{_AUDIENCE}', ${{td.last_results.plan}},
  CASE '${{td.last_results.mode}}' WHEN 'replace' THEN 'replaced' ELSE 'settled' END, cast(NULL AS varchar),
  cast(NULL AS bigint), cast(NULL AS bigint), cast(NULL AS bigint), '${{target.ad_account_id}}',
  '${{pinterest.customer_list_id}}', '${{session_uuid}}', {_COLUMNS[1]}
"""

_COMPACT = f"""\
-- Writes the present state of every digest, a row each. It is not valid before mirror_compacted.sql says so.
INSERT INTO {_LEDGER} ({_COLUMNS[0]})
WITH {_KNOWN}, number AS (
  SELECT greatest(cast(to_unixtime(now()) * 1000 AS bigint), newest + 1) AS plan, newest AS seen
  FROM settling WHERE settled IS NOT NULL AND replacing <= settled
), state AS (
  SELECT digest, joined, CASE state WHEN 'in' THEN 'member' ELSE 'unsure' END AS op FROM known WHERE state <> 'out'
)
SELECT '{_AUDIENCE}', number.plan, state.op, state.digest, state.joined, cast(NULL AS bigint), cast(NULL AS bigint),
  cast(NULL AS varchar), cast(NULL AS varchar), cast(NULL AS varchar), {_COLUMNS[1]}
FROM state CROSS JOIN number
UNION ALL
SELECT '{_AUDIENCE}', number.plan, 'compacting', cast(NULL AS varchar), number.seen, (SELECT count(*) FROM state),
  cast(NULL AS bigint),
  (SELECT max_by(ad_account_id, plan) FROM ledger WHERE op IN ('settled', 'replaced', 'compacted')),
  (SELECT max_by(customer_list_id, plan) FROM ledger WHERE op IN ('settled', 'replaced', 'compacted')),
  '${{session_uuid}}', {_COLUMNS[1]}
FROM number
"""

_COMPACTED = f"""-- Makes the compaction of this session valid, if it is whole and no plan was made since it looked.
INSERT INTO {_LEDGER} ({_COLUMNS[0]})
WITH ledger AS (
  SELECT * FROM {_LEDGER} WHERE audience_id = '{_AUDIENCE}'
), mine AS (
  SELECT max(plan) AS plan, max_by(joined, plan) AS seen, max_by(figure, plan) AS figure,
    max_by(ad_account_id, plan) AS ad_account_id, max_by(customer_list_id, plan) AS customer_list_id
  FROM ledger WHERE op = 'compacting' AND session = '${{session_uuid}}'
)
SELECT '{_AUDIENCE}', mine.plan, 'compacted', cast(NULL AS varchar), cast(NULL AS bigint), mine.figure,
  cast(NULL AS bigint), mine.ad_account_id, mine.customer_list_id, '${{session_uuid}}', {_COLUMNS[1]}
FROM mine
WHERE mine.plan IS NOT NULL
  AND mine.figure = (SELECT count(*) FROM ledger CROSS JOIN mine m
    WHERE ledger.plan = m.plan AND ledger.op IN ('member', 'unsure'))
  AND (SELECT count(*) FROM ledger CROSS JOIN mine m WHERE ledger.plan > m.seen AND ledger.plan <> m.plan) = 0
"""

_BASE = f"""-- The plan that the ledger begins with; 0 before the first replace.
SELECT coalesce(max(plan), 0) AS base FROM {_LEDGER}
WHERE audience_id = '{_AUDIENCE}' AND op IN ('replaced', 'compacted')
"""

_FORGET = f"""-- Takes out of the ledger what was written before its base: no query looks at it any more.
DELETE FROM {_LEDGER} WHERE audience_id = '{_AUDIENCE}' AND plan < ${{td.last_results.base}}
"""


def people_columns(audience_id: str) -> str:
    """A query without rows, whose columns are those of the day's people."""
    return f"SELECT * FROM pinterest_people_{audience_id} LIMIT 0"


def newest_plan(ledger: str, audience_id: str) -> str:
    """A query of one number: the newest plan for an audience, settled or not; 0 for none."""
    return f"SELECT coalesce(max(plan), 0) AS newest FROM {ledger} WHERE audience_id = '{audience_id}'"


def files() -> Mapping[str, str]:
    """The text of each query, by file name."""
    return {
        "mirror_setup.sql": _SETUP,
        "mirror_hashed.sql": _HASHED,
        "mirror_figures.sql": _FIGURES,
        "mirror_plan.sql": _PLAN,
        "mirror_which.sql": _WHICH,
        "mirror_settle.sql": _SETTLE,
        "mirror_compact.sql": _COMPACT,
        "mirror_compacted.sql": _COMPACTED,
        "mirror_base.sql": _BASE,
        "mirror_forget.sql": _FORGET,
    }
