-- The history: one row for each run of a workflow, and one for each audience of a follow-up.
CREATE TABLE IF NOT EXISTS ${history.table} (
  time bigint,
  kind varchar,
  outcome varchar,
  workflow varchar,
  session_time varchar,
  session_uuid varchar,
  attempt_id varchar,
  action varchar,
  ad_account_id varchar,
  audience_id varchar,
  audience_name varchar,
  audience_status varchar,
  audience_size bigint,
  usable boolean,
  customer_list_id varchar,
  customer_list_status varchar,
  previous_customer_list_id varchar,
  job_id varchar,
  dry_run boolean,
  rows_read bigint,
  rows_valid bigint,
  rows_invalid bigint,
  rows_invalid_by_reason varchar,
  records_unique bigint,
  records_duplicate bigint,
  records_sent bigint,
  records_refused bigint,
  records_keys bigint,
  requests_sent bigint,
  requests_retried bigint,
  requests_failed bigint,
  seconds_reading double,
  seconds_sending double,
  seconds_waiting double,
  version varchar,
  summary varchar,
  error varchar,
  records_withheld_suppressed bigint,
  records_withheld_without_consent bigint,
  records_withheld_control bigint,
  values_plain bigint,
  values_hashed bigint,
  lists_suppress varchar,
  lists_consent varchar,
  members bigint,
  match_ratio double,
  lift varchar
);
ALTER TABLE ${history.table} ADD COLUMN IF NOT EXISTS records_withheld_suppressed bigint;
ALTER TABLE ${history.table} ADD COLUMN IF NOT EXISTS records_withheld_without_consent bigint;
ALTER TABLE ${history.table} ADD COLUMN IF NOT EXISTS records_withheld_control bigint;
ALTER TABLE ${history.table} ADD COLUMN IF NOT EXISTS values_plain bigint;
ALTER TABLE ${history.table} ADD COLUMN IF NOT EXISTS values_hashed bigint;
ALTER TABLE ${history.table} ADD COLUMN IF NOT EXISTS lists_suppress varchar;
ALTER TABLE ${history.table} ADD COLUMN IF NOT EXISTS lists_consent varchar;
ALTER TABLE ${history.table} ADD COLUMN IF NOT EXISTS members bigint;
ALTER TABLE ${history.table} ADD COLUMN IF NOT EXISTS match_ratio double;
ALTER TABLE ${history.table} ADD COLUMN IF NOT EXISTS lift varchar
