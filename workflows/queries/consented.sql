-- People who consented, for `consent` of a task: columns email, maid or idfa, plain or hashed with SHA-256.
SELECT email
FROM consents
