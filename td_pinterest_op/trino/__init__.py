"""SQL for Trino, the warehouse's engine."""

# To add a statement for the warehouse:
# 1. Find its place. What users run themselves is a file in workflows/queries. What `td-pinterest sql` prints is a kind
#    of cli/commands/sql.py. What a run issues is built here, or in the module that owns its table: mirroring/,
#    run_history/history_table.py, erase.py. The SQL of a type of identifier is in identifiers/identifier_types.py.
# 2. Quote every name and text (treasure_data/quoting.py). A comment `-- td_pinterest_op: ` says what a statement of a
#    run is for (a mirror's `MirrorJobs` adds it), and `JobSource.purpose` names it in errors. A statement with the
#    user's query takes it by `require_one_statement`, and keeps its first comments (`prepend_comments`,
#    `find_first_comments`). `with_query_always_issued` makes a statement that no retry takes the job of.
# 3. Test it on the rows of tests/warehouses.py, which DuckDB answers, and on a real engine by scripts/trino
#    (tests/trino/answers.py). A function that DuckDB lacks goes into tests/emulators/td/sql.py.
#    tests/e2e/test_issued_queries.py looks at the comments and options of every statement.
# 4. Each statement is a job: correct the number of jobs in docs/guarantees-and-limits.md ("What a run costs"), and add
#    a line to CHANGELOG.md.
