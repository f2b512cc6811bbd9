-- Made by `scripts/queries` from the operator's own rules: edit table and columns only.
-- The mirror's ledger, made once: running this again changes nothing.
CREATE TABLE IF NOT EXISTS ${mirror.ledger}
WITH (bucketed_on = array['audience_id'], bucket_count = 512) AS
SELECT cast(NULL AS varchar) AS audience_id, cast(NULL AS bigint) AS plan, cast(NULL AS varchar) AS op,
  cast(NULL AS varchar) AS digest, cast(NULL AS bigint) AS joined, cast(NULL AS bigint) AS figure,
  cast(NULL AS bigint) AS resent, cast(NULL AS varchar) AS ad_account_id, cast(NULL AS varchar) AS customer_list_id,
  cast(NULL AS varchar) AS session, cast(NULL AS bigint) AS time
WHERE false
