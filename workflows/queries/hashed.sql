-- In place of people.sql: the warehouse hashes what is plainly good. The operator judges every other value.
-- Made by `scripts/queries` from the operator's own rules: edit table and columns only.
SELECT
  CASE
    WHEN length(email) <= 254
      AND regexp_like(trim(email), '\A[!-+\--?A-~]+@[!-+\-/-?A-~]+(\.[!-+\-/-?A-~]+)+\z')
      AND lower(trim(email)) NOT IN (
      'email@example.com', 'example@example.com', 'na@na.com', 'noemail@noemail.com', 'none@none.com',
      'null@null.com', 'test@example.com', 'test@example.net', 'test@example.org', 'test@test.com',
      'undefined@undefined.com', 'unknown@unknown.com')
    THEN lower(to_hex(sha256(to_utf8(lower(trim(email))))))
    ELSE email
  END AS email
FROM people
WHERE opted_in
-- For a column maid or idfa, in place of that of email:
--   CASE
--     WHEN regexp_like(trim(maid), '\A[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\z')
--       AND lower(trim(maid)) NOT IN (
--       '00000000-0000-0000-0000-000000000000')
--     THEN lower(to_hex(sha256(to_utf8(lower(trim(maid))))))
--     ELSE maid
--   END AS maid
--   CASE
--     WHEN regexp_like(trim(idfa), '\A[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\z')
--       AND lower(trim(idfa)) NOT IN (
--       '00000000-0000-0000-0000-000000000000')
--     THEN lower(to_hex(sha256(to_utf8(upper(trim(idfa))))))
--     ELSE idfa
--   END AS idfa
