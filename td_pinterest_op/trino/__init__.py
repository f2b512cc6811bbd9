"""SQL for Trino, the warehouse's engine."""

# To add a statement for the warehouse:
# 1. Find its place. What users run themselves is a file in workflows/queries. What `td-pinterest sql` prints is a kind
#    of cli/commands/sql.py. What a run issues is built here, or in the module that owns its table: mirroring/,
#    run_history/history_table.py, erase.py. The SQL of a type of identifier is in identifiers/identifier_types.py.
# 2. Quote every name and text (treasure_data/quoting.py). A statement that a run issues begins with
#    `-- td_pinterest_op: ` and what it is for, and its `Source` has the same as `purpose`.
# 3. Test it on the rows of tests/warehouses.py, which DuckDB answers, and on a real engine by scripts/trino
#    (tests/trino/answers.py). A function that DuckDB lacks goes into tests/emulators/td/sql.py.
# 4. Each statement is a job: correct the number of jobs in docs/guarantees-and-limits.md ("What a run costs").
