-- Each person's arm: `control` for those whom the setting `control` of an export withholds, else `sent`.
-- Write your people here: in place of customer_id the column that its `by` names, in place of the table and the condition
-- those of the export's query. Without `by` the key is the digest (64 hex digits, see hashed_full.sql).
SELECT
  key,
  CASE
    WHEN from_base(substr(to_hex(sha256(to_utf8('${String(lift.salt).replace(/'/g, "''")}' || chr(10) || key))), 1, 8), 16) % 10000
      < ${Math.round(lift.percent * 100)} THEN 'control'
    ELSE 'sent'
  END AS arm
FROM (SELECT CAST(customer_id AS varchar) AS key FROM people WHERE opted_in) AS people
WHERE key IS NOT NULL
GROUP BY key
