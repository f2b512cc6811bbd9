-- People to remove from every customer list: one column or more named email, maid or idfa, plain or hashed with SHA-256.
SELECT email
FROM opt_outs
