"""SQL for Trino, the warehouse's engine."""

# To add a statement for the warehouse:
# 1. Find its place, and test it where its neighbours are tested. What users run themselves is a file in
#    workflows/queries (tests/unit/run_history/test_history_table.py). What `td-pinterest sql` prints is a kind of
#    cli/commands/sql.py (tests/e2e/cli/test_sql.py, docs/command-line.md). What a run issues is built here
#    (tests/unit/trino/), or in the module that owns its table: in mirroring/ (tests/mirror/test_mirror.py),
#    run_history/history_table.py (tests/unit/run_history/test_history_table.py) or erase.py (tests/e2e/test_erase.py).
# 2. Quote every name and text (treasure_data/quoting.py). A comment `-- td_pinterest_op: ` says what a statement of a
#    run is for (a mirror's `MirrorJobs` adds it), and `JobOrQuery.purpose` names it in errors. A statement with the
#    user's query takes it by `require_one_statement`, and keeps its first comments (`prepend_comments`,
#    `find_first_comments`). `with_new_job_for_each_try` makes a statement that no retry takes the job of.
# 3. If it judges values or people, add cases to tests/warehouses.py. Run it on a real engine by scripts/trino
#    (tests/trino/answers.py). A function that DuckDB lacks goes into tests/emulators/td/sql.py.
#    tests/e2e/test_issued_queries.py looks at the comments and options of what a run issues.
# 4. What a run issues is a job: correct the number of jobs in docs/guarantees-and-limits.md ("What a run costs"). Add a
#    line to CHANGELOG.md.
