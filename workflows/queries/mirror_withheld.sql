-- Made by `scripts/queries` from the operator's own rules: edit table and columns only.
-- Whom the day sends, as digests; and how often each reason occurs for which one is not sent.
SELECT answer, sum(amount) AS amount
FROM (
  SELECT coalesce(reason, answer) AS answer, CASE WHEN reason IS NULL THEN amount ELSE 1 END AS amount
  FROM (
    SELECT answer, amount, CASE
        WHEN length(answer) < 64 THEN NULL
        WHEN suppressed > 0 THEN 'suppressed'
        WHEN consented = 0 THEN 'without_consent'
        WHEN in_control > 0 THEN 'control' END AS reason
    FROM (
      SELECT answer, sum(amount) AS amount, max(in_control) AS in_control, max(suppressed) AS suppressed,
        max(consented) AS consented
      FROM (
        SELECT answer, amount, in_control, max(suppressed) OVER (PARTITION BY person) AS suppressed,
          max(consented) OVER (PARTITION BY person) AS consented
        FROM (
          SELECT person, persons.answer, amount, in_control,
            CASE WHEN ${mirror_suppressed} AND persons.answer = 'unsure' THEN 1 ELSE coalesce(suppressed, 0) END
              AS suppressed,
            CASE WHEN ${mirror_consented} THEN coalesce(consented, 0) ELSE 1 END AS consented
          FROM pinterest_persons_${mirror_stage} AS persons
          LEFT JOIN (
            SELECT answer AS digest, max(CASE list WHEN 'suppressed' THEN 1 ELSE 0 END) AS suppressed,
              max(CASE list WHEN 'consented' THEN 1 ELSE 0 END) AS consented
            FROM pinterest_listed_${mirror_stage}
            WHERE length(answer) = 64
            GROUP BY answer) AS listed ON listed.digest = persons.answer))
      GROUP BY answer)))
GROUP BY answer
