-- Whom to take out of every customer list. One column named email, maid or idfa, as in people.sql.
SELECT email
FROM opt_outs
