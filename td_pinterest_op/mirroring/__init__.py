"""Keeps an audience equal to the people of a query: each run sends only who joins or leaves. The warehouse compares.

A table of digests, the ledger, says who is in the audience. People of the query who are no members join. Members who
are not in the query any more, or are withheld, leave. Members of long ago are sent again (`resend_days`). A first run,
or one with `rebuild`, replaces everybody; with `begin: adopt`, a first run keeps the people who are there. No plain
identifier leaves Treasure Data.

A run reads the ledger's state (`Ledger.load_state`), and checks that it is whole and about this audience
(`check_ledger`). It reads the queries' columns (`MirrorWarehouseSteps.describe_queries`), hashes the lists and the
people, and withholds (`hash_and_withhold`), compares with the ledger (`compare_with_ledger`), and counts
(`count_changes`). It writes the changes into the ledger, as a plan (`write_plan`), and reads them back (`read_plan`).
It sends them, while `PlanGuard` looks for a newer plan of another run. Once Pinterest has answered each batch, it marks
the plan as settled (`settle_plan`). A record that Pinterest refuses is void: its person stays what the last settled
plan made of them (`note_refused`). A plan that is not settled may have been sent in part: the next run sends its people
again, to join or to leave. Now and then, a run makes the ledger small (`compact_if_due`).
"""
