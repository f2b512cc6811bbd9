-- The size of each audience when a follow-up last knew it, as one JSON text for `previous_sizes`.
SELECT '{' || coalesce(array_join(array_agg('"' || audience_id || '": ' || CAST(size AS varchar)), ', '), '') || '}' AS sizes
FROM (
  SELECT audience_id, max_by(audience_size, time) AS size
  FROM ${history.table}
  WHERE kind = 'follow-up' AND audience_size IS NOT NULL AND audience_status NOT LIKE '%INITIALIZING'
  GROUP BY audience_id) AS latest
