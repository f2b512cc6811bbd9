"""What a task, an entry or the command line gives as SQL is issued only if it is a query."""

import contextlib

import pytest

from td_pinterest_op.errors import SettingsError
from td_pinterest_op.treasure_data.user_sql import require_query

READ = "SELECT email FROM people"
DROP = "DROP TABLE opt_outs"

QUERIES = {
    "presto": [
        "SELECT 1",
        "-- drop table a\n/* insert */ ((\n-- b\n(with a AS (SELECT 1) SELECT * FROM a)))",
        "VALUES 1, 2;",
        "table people",
        "SELECT 'insert', \"insert\", inserted FROM a -- insert\n;",
        "SELECT reflect(a), updated, merged FROM people WHERE kind IN ('delete', ') DELETE', 'TABLE(a.system.query(')",
        "SELECT * FROM TABLE(sequence(1, 10))",
        "SELECT * FROM TABLE(exclude_columns(input => TABLE(crm.people), columns => DESCRIPTOR(name)))",
        "SELECT transform(emails, each -> lower(each)) AS email FROM people JOIN others USING (id)",
    ],
    "hive": [
        "(table people)",
        f"{READ};",
        f"{READ}\n;\n",
        f"-- all people\n-- of today\nSET a=b;\nset hive.exec.max=1,2;\tSET mapred.queue = a/b:c-d.e ;SET a=;{READ}",
        "SELECT /*+ MAPJOIN(b) */ a.email FROM a JOIN b USING (id) -- using 'reflect('",
        r"SELECT 'it\'s', \"\\\", `a'b` FROM a WHERE kind = 'insert' OR name = 'using'",
        "SELECT map('a', email)['a'] AS email, reflected FROM people",
    ],
}
BOTH = [
    DROP,
    f"SELECT 1; {DROP}",
    f"SELECT 2 -/**/- 1; {DROP}",
    "-- SELECT\nDELETE FROM people",
    "--\rINSERT INTO a\nSELECT 1",
    "/* a */ (INSERT INTO a SELECT 1)",
    "selected",
    "",
    "-- SELECT 1",
    "EXPLAIN SELECT 1",
    "FROM people SELECT email",
    "CALL a.b()",
    "'SELECT 1'",
    "WITH a AS (SELECT 1) INSERT INTO b SELECT * FROM a",
    "WITH a AS (SELECT 1)\nDELETE FROM people",
    "WITH a AS (SELECT 1)/* a */UPDATE people SET email = ''",
    "WITH a AS (SELECT 1) -- a\n MERGE INTO people USING a ON true WHEN MATCHED THEN DELETE",
]
OTHERS = {
    "presto": [
        *BOTH,
        f"SET a = b; {READ}",
        "SELECT 1; 'a'; \"b\"",
        f"SELECT * FROM TABLE(crm.system.query(query => '{DROP}'))",
        f'SELECT * FROM TABLE ("c""m" . "system"\n. "query" (\'{DROP}\'))',
        f"SELECT * FROM table(/* a */crm.system/* b */.raw_query(query => '{DROP}'))",
    ],
    "hive": [
        *BOTH,
        "SET a = b",
        f"SET a = b; {DROP}",
        # A semicolon in quotes or in a comment ends a statement of Hive, or ends none.
        f"SET a='b'; {READ}",
        f'SET a="b"; {READ}',
        f"SET a=`; {DROP}; SET b=`; {READ}",
        f"SET a=/*; {DROP}; SET b=*/; {READ}",
        f"SET a=--\n; {DROP}; SET b=c; {READ}",
        f"SET a=--; {READ}",
        f"SET a=it's; {DROP}; SET b=it's; {READ}",
        f"SET a=b -- c\n; {DROP}; {READ}",
        f"SET a=b\\; {DROP}; {READ}",
        f"SET a=b c; {READ}",
        f"SET a=\u00e9; {READ}",
        f"SET a=$(b); {READ}",
        f"SET a; {READ}",
        f"SET ROLE admin; {READ}",
        f"-- c; {DROP}\nSET a=b; {READ}",
        f"SET a=b; /* ; */ {READ}",
        f"SET a=b; {READ}; {DROP}",
        f"SET a=b;; {READ}",
        f"RESET; {READ}",
        f"ADD JAR s3://a/b.jar; {READ}",
        f"{READ} WHERE name = ';'",
        f'{READ} WHERE name = "; {DROP}; "',
        f"{READ} -- ; {DROP}",
        f"{READ}; {DROP} --",
        r"SELECT '\''; DROP TABLE a; --'",
        r"SELECT '\\'; DROP TABLE a; --'",
        "WITH a AS (SELECT 1) INSERT OVERWRITE TABLE b SELECT * FROM a",
        "WITH a AS (SELECT 1) FROM a INSERT OVERWRITE DIRECTORY '/tmp/b' SELECT *",
        # Programs on Hive's machines.
        "SELECT TRANSFORM(email) USING '/bin/sh -c id' AS email FROM people",
        'SELECT transform (email)\nusing -- a\n"sh" AS email FROM people',
        "SELECT * FROM (FROM people MAP email USING 'sh' AS email) a",
        "SELECT * FROM (FROM people REDUCE email USING/**/'sh' AS email) a",
        "SELECT reflect('java.lang.Runtime', 'getRuntime') AS email",
        "SELECT REFLECT2 (email, 'length') AS email FROM people",
        "SELECT `reflect`('java.lang.System', 'exit', 1) AS email",
        "SELECT java_method/* a */('java.lang.System', 'exit', 1) AS email",
        "SELECT `a'`, java_method('java.lang.System', 'exit', 1), 'b' FROM people",
        "SELECT '\\\\', java_method('java.lang.System', 'exit', 1), '\\\\' FROM people",
        "/* /* */ ' */ SELECT java_method('java.lang.System', 'exit', 1) -- '",
        "SET a=java_method; SELECT ${hiveconf:a}('java.lang.System', 'exit', 1) AS email",
    ],
}
CASES = [(sql, engine, table is QUERIES) for table in (QUERIES, OTHERS) for engine in table for sql in table[engine]]


@pytest.mark.parametrize(("sql", "engine", "is_query"), CASES)
def test_only_a_query_is_issued(sql: str, engine: str, is_query: bool) -> None:
    with contextlib.nullcontext() if is_query else pytest.raises(SettingsError, match=r"^suppress "):
        require_query(sql, name="suppress", engine=engine)


def test_beginning_of_long_text_is_found_in_time_that_grows_with_its_length() -> None:
    with pytest.raises(SettingsError):
        require_query("-- /* ( " * 20_000 + "\n" + "(/* -- */" * 20_000 + " \n" * 20_000, name="query", engine="hive")
