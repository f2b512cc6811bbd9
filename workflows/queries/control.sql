-- The group of each person. Write your own people here: in place of customer_id the column that `by` of `control`
-- names, in place of the table and the condition those of the export's query. Without `by` use `td-pinterest sql
-- control`.
-- The rest are the operator's own rules: change the table and the columns only.
-- The arm of each person: `control` for those whom an export with this setting withholds, `sent` for others.
SELECT key, CASE
    WHEN from_base(substr(to_hex(sha256(to_utf8('${String(lift.salt).replace(/'/g, "''")}' || chr(10) || key))), 1, 8), 16) % 10000
      < ${Math.round(lift.percent * 100)} THEN 'control'
    ELSE 'sent' END AS arm
FROM (SELECT CAST(c0 AS varchar) AS key FROM (
SELECT * FROM (
SELECT customer_id FROM people WHERE opted_in = 1
) AS given (c0)
))
WHERE key IS NOT NULL
GROUP BY key
