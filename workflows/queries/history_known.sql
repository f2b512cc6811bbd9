-- What the history knows, as JSON texts for the follow-up's settings. `sizes`: of each audience, when a follow-up last
-- knew it. `filled` and `mirrored`: how many records are in a customer list. It is not known of a list to which anything
-- but one create or replace, or the mirror that began with its own, has written; nor after a failure or an erasure.
SELECT sizes, filled, mirrored
FROM (
  SELECT '{' || coalesce(array_join(array_agg('"' || audience_id || '": ' || CAST(size AS varchar)), ', '), '') || '}' AS sizes
  FROM (
    SELECT audience_id, max_by(audience_size, time) AS size
    FROM ${history.table}
    WHERE kind = 'follow-up' AND audience_size IS NOT NULL AND audience_status NOT LIKE '%INITIALIZING'
    GROUP BY audience_id) AS latest) AS seen
CROSS JOIN (
  SELECT
    '{' || coalesce(array_join(array_agg(entry) FILTER (WHERE fills), ', '), '') || '}' AS filled,
    '{' || coalesce(array_join(array_agg(entry) FILTER (WHERE NOT fills), ', '), '') || '}' AS mirrored
  FROM (
    SELECT '"' || customer_list_id || '": ' || CAST(members AS varchar) AS entry, fills
    FROM (
      SELECT *,
        row_number() OVER (PARTITION BY customer_list_id ORDER BY time DESC, outcome, action) AS place,
        min(CASE WHEN fills THEN time END) OVER (PARTITION BY customer_list_id, workflow) AS begun,
        max(CASE WHEN members IS NULL AND outcome = 'success' THEN 1 ELSE 0 END) OVER (PARTITION BY customer_list_id) AS shared,
        -- Failures before a list was known are about the audience; a failed create, replace or clear has not moved it.
        max(CASE WHEN customer_list_id IS NULL AND action NOT IN ('mirror', 'erase', 'create_new_audience',
          'replace_current_audience', 'clear_current_audience', 'delete_current_audience') THEN time END)
          OVER (PARTITION BY audience_id) AS touched,
        max(CASE WHEN customer_list_id IS NULL AND action = 'mirror' THEN time END) OVER (PARTITION BY audience_id) AS broken_off,
        max(CASE WHEN action = 'erase' THEN time END) OVER () AS erased
      FROM (
        SELECT customer_list_id, audience_id, workflow, coalesce(action, '') AS action, outcome, time, members,
          members IS NOT NULL AND coalesce(action, '') IN ('create_new_audience', 'replace_current_audience', 'clear_current_audience') AS fills
        FROM ${history.table}
        WHERE kind = 'run' AND NOT coalesce(dry_run, false)
          AND (outcome = 'failed' OR requests_sent > 0 OR members IS NOT NULL)) AS runs) AS compared
    WHERE customer_list_id IS NOT NULL AND place = 1 AND outcome = 'success' AND shared = 0 AND begun IS NOT NULL
      AND begun > coalesce(touched, 0) AND time > greatest(coalesce(broken_off, 0), coalesce(erased, 0))) AS lists) AS known
