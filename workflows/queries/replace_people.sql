-- Who is to be in the audience: everybody else leaves it. One column named email, maid or idfa, of a string type; several
-- of them are possible.
SELECT email
FROM people
WHERE opted_in
