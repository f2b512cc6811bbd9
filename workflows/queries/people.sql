-- One column named email, maid or idfa, of a string type; several of them are possible. Plain or hashed with SHA-256.
SELECT email
FROM people
WHERE opted_in
