-- People who leave the audience: one column or more named email, maid or idfa, of a string type, plain or hashed.
SELECT email
FROM people
WHERE opted_in = 0
