-- People who are in the audience afterwards; everybody else leaves it. One column or more named email, maid or idfa, of a
-- string type, plain or hashed with SHA-256.
SELECT email
FROM people
WHERE opted_in = 1
