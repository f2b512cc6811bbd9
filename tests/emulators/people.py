"""Made-up people for the sandbox, tests and benches: the same ones for the same seed, as a Parquet file.

Every e-mail address, valid or not, is at a domain that ends in `.example`, so that a leak can be recognised anywhere.
"""

from pathlib import Path

import duckdb

# How an address appears: `face` is 0 to 999, a thousandth of the rows each.
_FACES = """CASE
  WHEN face < 2 THEN replace(mail, '@', '.')
  WHEN face < 3 THEN replace(mail, '@', '@@')
  WHEN face < 4 THEN regexp_replace(mail, '[.]', ' ')
  WHEN face < 5 THEN mail || ',' || mail
  WHEN face < 6 THEN '@' || split_part(mail, '@', 2)
  WHEN face < 7 THEN ''
  WHEN face < 8 THEN repeat('long', 70) || mail
  WHEN face < 9 THEN (['n/a', 'unknown', 'null', 'none'])[1 + pick % 4]
  WHEN face < 10 THEN (['e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', md5(mail)])[1 + pick % 2]
  WHEN face < 13 THEN md5(mail)
  WHEN face < 23 THEN NULL
  WHEN face < 73 THEN sha256(mail)
  WHEN face < 123 THEN upper(sha256(mail))
  WHEN face < 173 THEN upper(mail)
  WHEN face < 203 THEN '  ' || mail || ' '
  WHEN face < 213 THEN chr(160) || mail || chr(8203)
  ELSE mail END"""

# md5, not DuckDB's own hash or random: those may change between versions.
_PEOPLE = f"""
WITH numbered AS (
  SELECT i AS row_number, md5($seed::VARCHAR || ':' || i) AS dice FROM range($rows::BIGINT) r(i)
), rolled AS (
  SELECT row_number, dice,
    ('0x' || dice[1:8])::BIGINT % 1000 AS face,
    ('0x' || dice[9:14])::BIGINT AS pick,
    -- about 2 % are somebody met before, mostly with another face
    CASE WHEN row_number >= 40 AND ('0x' || dice[15:20])::BIGINT % 50 = 0
         THEN row_number - 1 - ('0x' || dice[21:22])::BIGINT % 40 ELSE row_number END AS person
  FROM numbered
), named AS (
  SELECT *, md5($seed::VARCHAR || '/' || person) AS device,
    (['anna', 'bela', 'chloe', 'dora', 'emil', 'farah', 'goro', 'jürgen', 'zoë', 'søren'])[1 + person % 10]
    || '.' || person || (['', '+news', '_x', '-1'])[1 + person // 10 % 4]
    || (['@shop', '@mail.shop', '@post', '@bücher', '@co.mail'])[1 + person // 40 % 5] || '.example' AS mail
  FROM rolled
), with_devices AS (
  SELECT *, concat_ws('-', device[1:8], device[9:12], device[13:16], device[17:20], device[21:32]) AS device_id
  FROM named
)
SELECT row_number + 1 AS customer_id,
  {_FACES} AS email,
  CASE WHEN pick % 10 < 4 THEN NULL WHEN pick % 200 = 4 THEN '00000000-0000-0000-0000-000000000000'
       WHEN pick % 20 = 5 THEN sha256(device_id) ELSE device_id END AS maid,
  CASE WHEN pick % 10 >= 4 THEN NULL WHEN pick % 200 = 3 THEN '00000000-0000-0000-0000-000000000000'
       WHEN pick % 20 = 2 THEN lower(device_id) ELSE upper(device_id) END AS idfa,
  (['JP', 'US', 'DE', 'FR', 'BR'])[1 + pick % 5] AS country,
  CAST(pick % 7 <> 0 AS BIGINT) AS opted_in,
  1700000000 + row_number AS time
FROM with_devices ORDER BY row_number
"""


def write_people(path: Path, *, rows: int = 100_000, seed: int = 20_260_101) -> Path:
    """Write `rows` people to `path`, a Parquet file; returns `path`.

    Columns: customer_id (from 1), email, maid, idfa, country, opted_in (1 or 0), time (Unix seconds). Of the e-mails,
    about 1.3 % are invalid (no address, several, too long, empty, placeholder, MD5, hash of nothing) and 1 % NULL, 10 %
    are SHA-256 already (half of them in upper case), 5 % in upper case, 4 % padded; 30 % have non-ASCII letters.
    About 2 % of the rows repeat an earlier person.
    """
    with duckdb.connect(":memory:", config={"threads": 2}) as connection:
        people = connection.execute(f"CREATE TABLE people AS {_PEOPLE}", {"seed": seed, "rows": rows})
        people.execute(f"COPY people TO '{path}' (FORMAT parquet)")
    return path


# Every fiftieth opts out, with the address in another form than in the table of people.
_OPT_OUTS = """
SELECT CASE customer_id // 50 % 4
  WHEN 0 THEN upper(value)
  WHEN 1 THEN '  ' || value || ' '
  WHEN 2 THEN sha256(value)
  ELSE upper(sha256(value)) END AS email
FROM (SELECT customer_id, lower(trim(email)) AS value FROM read_parquet($people) WHERE email LIKE '%_@_%')
WHERE customer_id % 50 = 0
"""
# Two of three consent.
_CONSENTS = "SELECT email FROM read_parquet($people) WHERE customer_id % 3 > 0 AND email IS NOT NULL"


def write_lists(people: Path) -> dict[str, Path]:
    """Write the tables `opt_outs` and `consents`, with a column email, beside the Parquet file of the people.

    Returns the files by the names of the tables.
    """
    files = {}
    with duckdb.connect(":memory:", config={"threads": 2}) as connection:
        for table, query in {"opt_outs": _OPT_OUTS, "consents": _CONSENTS}.items():
            files[table] = people.with_stem(table)
            rows = connection.execute(f"CREATE TABLE {table} AS {query}", {"people": str(people)})
            rows.execute(f"COPY {table} TO '{files[table]}' (FORMAT parquet)")
    return files
