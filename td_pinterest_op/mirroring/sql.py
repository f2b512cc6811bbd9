"""Trino's SQL of the mirror, as files for workflows/queries; digdag fills in `${…}`.

The ledger is a table of digests that only ever grows (until a compaction). Each row belongs to a plan, whose number is
the time at which it was made, in milliseconds. A plan's rows are `join` and `leave`, with a digest; `planned` (or
`replacing`, for a plan that replaces everybody), with the number of those rows, and in `joined` the newest plan that it
takes into account; and `settled` (or `replaced`), once all of it is on Pinterest. A compaction has `member` and
`unsure` rows, and a `compacted` row that makes them valid. An `overtaken` plan has the rows of an older one that was
still being sent.

A digest is a member when its newest row is a `join` of a settled plan, or a `member` of a compaction. Whatever an
unsettled plan has touched is unsure: the next plan makes it join or leave again.

Trino evaluates a CTE wherever it is named. So none is named twice, and what a day computes stands in a table of its
session, which only that session reads.
"""

from __future__ import annotations

from td_pinterest_op.identifiers.sql import full
from td_pinterest_op.identifiers.types import UNSURE
from td_pinterest_op.stats import WITHHELD
from td_pinterest_op.withholding.sql import counted_by, values_of

LEDGER = "${mirror.ledger}"
AUDIENCE = "${mirror_audience}"
_CHANGES = "pinterest_changes_${mirror_stage}"
_DAY = 86_400_000  # milliseconds
NOW_MS = "cast(to_unixtime(now()) * 1000 AS bigint)"
# What marks a plan as done, and what makes all older rows void.
_DONE = "('settled', 'replaced', 'compacted')"
BASES = "('replaced', 'compacted')"

# Rows of a plan that are not of this session, or of another step of it.
STRANGE = "count_if(coalesce(session, '') <> '${{session_uuid}}' OR op NOT IN ({ops})) AS strange"

FILES: dict[str, str] = {}
"""The text of each query, by file name."""

FILES["mirror_setup.sql"] = f"""\
-- The mirror's ledger, made once: running this again changes nothing.
CREATE TABLE IF NOT EXISTS {LEDGER}
WITH (bucketed_on = array['audience_id'], bucket_count = 512) AS
SELECT cast(NULL AS varchar) AS audience_id, cast(NULL AS bigint) AS plan, cast(NULL AS varchar) AS op,
  cast(NULL AS varchar) AS digest, cast(NULL AS bigint) AS joined, cast(NULL AS bigint) AS figure,
  cast(NULL AS bigint) AS resent, cast(NULL AS varchar) AS ad_account_id, cast(NULL AS varchar) AS customer_list_id,
  cast(NULL AS varchar) AS session, cast(NULL AS bigint) AS time
WHERE false
"""

INSERT = f"""INSERT INTO {LEDGER}
  (audience_id, plan, op, digest, joined, figure, resent, ad_account_id, customer_list_id, session, time)"""
TIME = "cast(to_unixtime(now()) AS bigint)"

FILES["mirror_hashed.sql"] = f"""\
-- The people of the day as digests, and how often each reason of rejection occurs.
SELECT answer, count(*) AS amount FROM (
{full(values_of("pinterest_people_${mirror_stage}", "pinterest_mirror.columns"))}
)
GROUP BY answer
"""

FILES["mirror_state.sql"] = f"""\
-- What the ledger says before this day: a row, also when it holds nothing about the audience.
SELECT seen, settled, base, replacing, sent_plans, plans, entries, ad_account_id, customer_list_id, CASE
    WHEN ${{mirror.rebuild}} THEN 'replace'
    WHEN settled = 0 THEN CASE WHEN ${{mirror.adopt}} THEN 'difference' ELSE 'replace' END
    WHEN replacing > settled THEN 'replace'
    ELSE 'difference' END AS mode
FROM (
  SELECT
    coalesce(max(plan), 0) AS seen,
    coalesce(max(CASE WHEN op IN {_DONE} THEN plan END), 0) AS settled,
    coalesce(max(CASE WHEN op IN {BASES} THEN plan END), 0) AS base,
    coalesce(max(CASE WHEN op = 'replacing' THEN plan END), 0) AS replacing,
    coalesce(array_join(array_agg(cast(plan AS varchar)) FILTER (WHERE op IN ('settled', 'replaced')), ', '), '0')
      AS sent_plans,
    count(*) FILTER (WHERE op IN ('settled', 'replaced')) AS plans,
    count(*) AS entries,
    coalesce(max_by(ad_account_id, CASE WHEN op IN {_DONE} THEN plan END), '') AS ad_account_id,
    coalesce(max_by(customer_list_id, CASE WHEN op IN {_DONE} THEN plan END), '') AS customer_list_id
  FROM {LEDGER} WHERE audience_id = '{AUDIENCE}'
)
"""

# The rows that say something about a digest. In `changes` and in a compaction, `state` is one of in, out and unsure.
ENTRIES = f"""FROM {LEDGER}
        WHERE audience_id = '{AUDIENCE}' AND digest IS NOT NULL AND plan >= ${{td.last_results.base}}
          AND (op IN ('join', 'leave') OR plan = ${{td.last_results.base}})"""
NEWEST = "max(entries.plan) AS plan, max_by(op, entries.plan) AS op, max_by(joined, entries.plan) AS joined"
JUDGED = """CASE
        WHEN plan IS NULL THEN 'out'
        WHEN op = 'member' OR (op = 'join' AND plan IN (${td.last_results.sent_plans})) THEN 'in'
        WHEN op = 'leave' AND plan IN (${td.last_results.sent_plans}) THEN 'out'
        ELSE 'unsure' END AS state"""

_WITHHELD = "({})".format(", ".join(f"'{why}'" for why in WITHHELD))

FILES["mirror_changes.sql"] = f"""\
-- What becomes of every digest: join, leave, due (a member who may be sent again), stay; and the reasons for which
-- values are rejected and people withheld.
-- Digests that nothing is done about are counted only. `turn` puts those first whose last join is oldest.
SELECT op, member, turn, digest, count(*) AS people, sum(amount) AS given
FROM (
  SELECT op, member, amount, CASE WHEN op = 'due' THEN cast(joined AS varchar) || substr(digest, 1, 4) END AS turn,
    CASE WHEN op <> 'stay' OR '${{td.last_results.mode}}' = 'replace' THEN digest END AS digest
  FROM (
    SELECT digest, joined, amount, state <> 'out' AS member, CASE
        WHEN digest IN {_WITHHELD} THEN 'withheld'
        WHEN length(digest) < 64 THEN 'rejected'
        WHEN amount IS NULL THEN CASE state WHEN 'out' THEN 'out' ELSE 'leave' END
        WHEN state <> 'in' THEN 'join'
        WHEN ${{mirror.resend_days}} > 0 AND '${{td.last_results.mode}}' = 'difference'
          AND joined < (cast(floor(to_unixtime(now()) / 86400) AS bigint) - ${{mirror.resend_days}} + 1) * {_DAY}
          THEN 'due'
        ELSE 'stay' END AS op
    FROM (
      SELECT digest, joined, amount, {JUDGED}
      FROM (
        SELECT digest, {NEWEST}, sum(amount) AS amount
        FROM (
        SELECT digest, plan, op, coalesce(joined, plan) AS joined, cast(NULL AS bigint) AS amount {ENTRIES}
        UNION ALL
        SELECT answer, NULL, NULL, NULL, amount FROM pinterest_digests_${{mirror_stage}}) AS entries
        GROUP BY digest)))
  WHERE op <> 'out')
GROUP BY op, member, turn, digest
"""

_COUNTS = "\n".join(f"    coalesce(sum(CASE WHEN reason = '{why}' THEN given END), 0) AS {why}," for why in WITHHELD)

_AND_THEN = "Nothing was sent. Correct queries/people.sql, or"

FILES["mirror_figures.sql"] = f"""\
-- What this day would change, and `problem`, which stops the mirror before it writes anything; empty for none.
-- `resent_to`: the last turn of those who are sent again.
SELECT mode, given, rejected, reasons, unsure, withheld, suppressed, without_consent, control, people, members,
  join_count, leave_count, resent_count, resent_to,
  ${{td.last_results.seen}} AS seen, ${{td.last_results.entries}} AS entries, ${{td.last_results.plans}} AS plans,
  CASE WHEN mode = 'replace' THEN people ELSE join_count + resent_count + leave_count END AS to_send,
  CASE
    WHEN mode = 'difference' AND '${{td.last_results.ad_account_id}}' NOT IN ('', '${{target.ad_account_id}}') THEN
      'the ledger is about ad account ${{td.last_results.ad_account_id}}, and config/pinterest.yml names '
      || '${{target.ad_account_id}}. Nothing was sent. Correct the id, or set rebuild: true in config/mirror.yml for '
      || 'one run to begin anew'
    WHEN mode = 'difference'
      AND '${{td.last_results.customer_list_id}}' NOT IN ('', '${{pinterest_mirror.customer_list_id}}') THEN
      'customer list ${{pinterest_mirror.customer_list_id}} is behind the audience now, and the mirror has filled list '
      || '${{td.last_results.customer_list_id}}: somebody else moved the audience. Nothing was sent. '
      || 'Set rebuild: true in config/mirror.yml for one run to replace its people and begin anew'
    WHEN ${{td.last_results.settled}} = 0 AND ${{pinterest_mirror.people}} > 1
      AND NOT (${{mirror.rebuild}} OR ${{mirror.adopt}} OR '${{mirror.begin}}' = 'replace') THEN
      'the mirror has not filled this audience yet, and it has ${{pinterest_mirror.people}} people. Nothing was sent. '
      || 'In config/mirror.yml set begin: replace if the query''s people are to take their place, or adopt: true if '
      || 'they are to stay beside them'
    WHEN people = 0 AND withheld <> '' THEN
      'everybody whom the query finds is withheld (' || withheld || '). Nothing was sent. Correct queries/people.sql'
      || CASE WHEN suppressed > 0 THEN ' or queries/suppressed.sql' ELSE '' END
      || CASE WHEN without_consent > 0 THEN ' or queries/consented.sql' ELSE '' END
      || CASE WHEN control > 0 THEN ' or control in config/mirror.yml' ELSE '' END
    WHEN people < ${{mirror.min_records}} THEN
      'the query finds ' || cast(people AS varchar) || ' people (' || cast(rejected AS varchar)
      || ' values are rejected), fewer than min_records (${{mirror.min_records}}). {_AND_THEN} lower min_records in '
      || 'config/mirror.yml'
    WHEN ${{td.last_results.settled}} > 0 AND leave_count > ${{mirror.max_leave_ratio}} * members THEN
      cast(leave_count AS varchar) || ' of ' || cast(members AS varchar) || ' members would leave, and the query finds '
      || cast(people AS varchar) || ' people: a greater share than max_leave_ratio (${{mirror.max_leave_ratio}}). '
      || '{_AND_THEN} raise max_leave_ratio in config/mirror.yml for one run'
    ELSE '' END AS problem
FROM (
  SELECT '${{td.last_results.mode}}' AS mode, coalesce(sum(CASE WHEN op <> 'withheld' THEN given END), 0) AS given,
    coalesce(sum(CASE WHEN op = 'rejected' THEN given END), 0) AS rejected,
    {counted_by("reason", "given", where="op = 'rejected'")} AS reasons,
    {counted_by("reason", "given", where="op = 'withheld'")} AS withheld,
{_COUNTS}
    coalesce(sum(CASE WHEN reason = '{UNSURE}' THEN given END), 0) AS unsure,
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
        floor(cast(substr(min(turn) OVER (), 1, 13) AS bigint) / {_DAY}e0) AS first_day,
        floor(${{td.last_results.settled}} / {_DAY}e0) AS settled_day,
        floor(to_unixtime(now()) / 86400) AS day, cast(greatest(${{mirror.resend_days}}, 1) AS double) AS days
      FROM (
        SELECT op, member, turn, CASE WHEN op IN ('rejected', 'withheld') THEN digest END AS reason,
          sum(people) AS people, sum(given) AS given
        FROM {_CHANGES}
        GROUP BY op, member, turn, CASE WHEN op IN ('rejected', 'withheld') THEN digest END))))
"""

FILES["mirror_plan.sql"] = f"""\
-- Writes the plan into the ledger. The `planned` row carries the number of its joins and leaves: the proof that it
-- is whole. Running this again writes another plan, alike and newer.
{INSERT}
SELECT '{AUDIENCE}', number, op, digest, CASE op WHEN 'join' THEN number WHEN 'leave' THEN NULL ELSE seen END,
  figure, resent, ad_account_id, customer_list_id, '${{session_uuid}}', {TIME}
FROM (
  SELECT op, digest, figure, resent, ad_account_id, customer_list_id, ${{td.last_results.seen}} AS seen,
    greatest({NOW_MS}, ${{td.last_results.seen}} + 1) AS number
  FROM (
    SELECT CASE op WHEN 'leave' THEN 'leave' ELSE 'join' END AS op, digest, cast(NULL AS bigint) AS figure,
      cast(NULL AS bigint) AS resent, cast(NULL AS varchar) AS ad_account_id, cast(NULL AS varchar) AS customer_list_id
    FROM {_CHANGES}
    WHERE CASE '${{td.last_results.mode}}' WHEN 'replace' THEN op IN ('join', 'stay')
      ELSE op IN ('join', 'leave') OR (op = 'due' AND turn <= '${{td.last_results.resent_to}}') END
    UNION ALL
    SELECT CASE '${{td.last_results.mode}}' WHEN 'replace' THEN 'replacing' ELSE 'planned' END, NULL,
      ${{td.last_results.to_send}}, ${{td.last_results.resent_count}}, '${{target.ad_account_id}}',
      '${{pinterest_mirror.customer_list_id}}'))
"""

_KEPT = ",\n  ".join(f"${{td.last_results.{why}}} AS {why}" for why in WITHHELD)

FILES["mirror_which.sql"] = f"""\
-- The newest plan of this session, and `problem` if it must not be sent. A plan that was written twice at the same
-- moment has every row twice, its proof as well.
SELECT plan, '${{td.last_results.mode}}' AS mode, ${{td.last_results.seen}} AS seen,
  ${{td.last_results.entries}} + coalesce(written, 0) AS entries, ${{td.last_results.plans}} AS plans,
  ${{td.last_results.people}} AS people, {_KEPT},
  CASE '${{td.last_results.mode}}' WHEN 'replace' THEN ${{td.last_results.people}}
    ELSE ${{td.last_results.join_count}} + ${{td.last_results.resent_count}} END AS join_count,
  CASE '${{td.last_results.mode}}' WHEN 'replace' THEN 0 ELSE ${{td.last_results.leave_count}} END AS leave_count,
  CASE '${{td.last_results.mode}}' WHEN 'replace' THEN 0 ELSE ${{td.last_results.resent_count}} END AS resent,
  CASE
    WHEN others > 0 THEN
      'another session has made a plan for this audience meanwhile. Nothing of this plan is sent any more. Run the '
      || 'workflow again, from its beginning'
    WHEN plan IS NULL THEN 'the ledger has no plan of this session. Nothing was sent. Run the workflow again'
    WHEN proofs = 0 OR written <> proofs * figure OR figure <> ${{td.last_results.to_send}} THEN
      'the plan in the ledger is not what was computed (' || cast(written AS varchar) || ' rows, not '
      || '${{td.last_results.to_send}}): an INSERT broke off. Nothing was sent. Run the workflow again'
    ELSE '' END AS problem
FROM (
  SELECT count_if(strange > 0) AS others, max(plan) AS plan, max_by(written, plan) AS written,
    max_by(proofs, plan) AS proofs, max_by(figure, plan) AS figure
  FROM (
    SELECT plan, count(digest) AS written, count_if(digest IS NULL) AS proofs, max(figure) AS figure,
      {STRANGE.format(ops="'join', 'leave', 'planned', 'replacing'")}
    FROM {LEDGER}
    WHERE audience_id = '{AUDIENCE}' AND plan > ${{td.last_results.seen}}
    GROUP BY plan))
"""


def people_columns(table: str) -> str:
    """A query without rows, whose columns are those of the day's people."""
    return f"SELECT * FROM {table} LIMIT 0"


def newest_plan(ledger: str, audience_id: str, plan: int | str) -> str:
    """A query of one number: this plan, or the newest that takes it into account.

    A plan that was made at the same time, and does not know of this one, is not sent: its own session finds that out.
    """
    return (
        f"SELECT coalesce(max(CASE WHEN digest IS NULL AND joined >= {plan} THEN plan END), {plan}) AS newest "
        f"FROM {ledger} WHERE audience_id = '{audience_id}'"
    )


def overtaken(ledger: str, audience_id: str, plan: int, op: str) -> str:
    """An INSERT of a plan that was still being sent when there was a newer one: the next day is unsure of its people.

    `op` is join or leave, or replacing for a plan that replaces everybody: that, and a plan whose rows a compaction has
    taken out of the ledger, makes the next day replace everybody.
    """
    sent = f"FROM {ledger} WHERE audience_id = '{audience_id}' AND plan = {plan} AND op = '{op}'"
    return f"""\
{INSERT.replace(LEDGER, ledger)}
SELECT '{audience_id}', number, op, digest, CASE WHEN digest IS NULL THEN newest END, NULL, NULL, NULL, NULL, NULL,
  {TIME}
FROM (
  SELECT op, digest {sent} AND digest IS NOT NULL
  UNION ALL SELECT CASE count(digest) WHEN 0 THEN 'replacing' ELSE 'overtaken' END, NULL {sent}
) CROSS JOIN (
  SELECT max(plan) AS newest, greatest({NOW_MS}, max(plan) + 1) AS number FROM {ledger}
  WHERE audience_id = '{audience_id}'
)"""


FILES["mirror_settle.sql"] = f"""\
-- All of the plan is on Pinterest. Not written if a plan that takes it into account was made meanwhile.
{INSERT}
SELECT '{AUDIENCE}', ${{td.last_results.plan}},
  CASE '${{td.last_results.mode}}' WHEN 'replace' THEN 'replaced' ELSE 'settled' END, cast(NULL AS varchar),
  cast(NULL AS bigint), cast(NULL AS bigint), cast(NULL AS bigint), '${{target.ad_account_id}}',
  '${{pinterest.customer_list_id}}', '${{session_uuid}}', {TIME}
FROM (
  {newest_plan(LEDGER, AUDIENCE, "${td.last_results.plan}")}
) WHERE newest = ${{td.last_results.plan}}
"""
