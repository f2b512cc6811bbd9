-- Made by `scripts/queries` from the operator's own rules: edit table and columns only.
-- How many identifiers each list holds, and `problem`, which stops the mirror; empty for none.
SELECT suppressed, consented, suppressed_reasons, consented_reasons, CASE
    WHEN ${mirror_suppressed} AND suppressed = 0 AND NOT ${String(mirror.allow_empty_suppress) === "true"} THEN
      'queries/suppressed.sql ' || CASE suppressed_reasons WHEN '' THEN 'has no rows'
        ELSE 'holds no identifier (' || suppressed_reasons || ')' END
      || '. Nothing was sent. Correct it, or set allow_empty_suppress: true in config/mirror.yml if nobody has opted out'
    WHEN ${mirror_consented} AND consented = 0 THEN
      'queries/consented.sql ' || CASE consented_reasons WHEN '' THEN 'has no rows'
        ELSE 'holds no identifier (' || consented_reasons || ')' END
      || '. Nothing was sent. Correct it'
    WHEN suppressed_unsure > 0 THEN
      'queries/suppressed.sql holds ' || cast(suppressed_unsure AS varchar) || ' addresses that are unsure: the '
      || 'warehouse cannot hash them, and would not find these people. Nothing was sent. Put the SHA-256 of such an '
      || 'address in lower case in its place'
    ELSE '' END AS problem
FROM (
  SELECT coalesce(sum(CASE WHEN list = 'suppressed' AND answer = 'unsure' THEN amount END), 0)
      AS suppressed_unsure,
    coalesce(sum(CASE WHEN list = 'suppressed' AND length(answer) = 64 THEN 1 END), 0) AS suppressed,
    coalesce(array_join(array_agg(answer || ' ' || cast(amount AS varchar) ORDER BY answer)
      FILTER (WHERE list = 'suppressed' AND length(answer) < 64), ', '), '') AS suppressed_reasons,
    coalesce(sum(CASE WHEN list = 'consented' AND length(answer) = 64 THEN 1 END), 0) AS consented,
    coalesce(array_join(array_agg(answer || ' ' || cast(amount AS varchar) ORDER BY answer)
      FILTER (WHERE list = 'consented' AND length(answer) < 64), ', '), '') AS consented_reasons
  FROM pinterest_listed_${mirror_stage})
