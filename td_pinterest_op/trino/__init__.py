"""SQL for Trino, the warehouse's engine."""

# To add a statement for the warehouse:
# 1. Find its place and its tests. What users run themselves is a file in workflows/queries
#    (tests/unit/run_history/test_history_table.py). What `td-pinterest sql` prints is a kind of cli/commands/sql.py
#    (tests/e2e/cli/test_sql.py, docs/command-line.md). What a run issues is built here (tests/unit/trino/), or in the
#    module that owns its table: in mirroring/ (tests/mirror/test_mirror.py), run_history/history_table.py
#    (tests/unit/run_history/test_history_table.py) or erasure.py (tests/e2e/test_erasure.py).
# 2. Quote every name and text (treasure_data/quoting.py). Say what a statement of a run is for: in a comment
#    `-- td_pinterest_op: ` (a mirror's `MirrorJobs` adds it), and for errors in `JobOrQuery.purpose`. Take the user's
#    query by `require_one_statement`, and keep its first comments (`prepend_comments`, `find_first_comments`).
#    `JobOrQuery.replace_query` makes a statement whose job no retry adopts.
# 3. If it judges values or people, add cases to tests/warehouses.py. Run it on a real engine by scripts/trino
#    (tests/trino/answers.py). A function that DuckDB lacks goes into tests/emulators/td/sql.py.
#    tests/e2e/test_issued_queries.py checks the comments and options of what a run issues.
# 4. Correct the number of a run's jobs in docs/guarantees-and-limits.md ("What a run costs").
