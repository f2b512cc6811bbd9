"""The SQL for Trino, the warehouse: it hashes identifiers, withholds people, lists rejected values."""
