-- People who opted out, for the setting `suppress`: columns email, maid or idfa, plain or hashed with SHA-256.
SELECT email
FROM opt_outs
