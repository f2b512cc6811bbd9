-- Who leaves the audience. One column named email, maid or idfa, of a string type; several of them are possible.
SELECT email
FROM people
WHERE NOT opted_in
