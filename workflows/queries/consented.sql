-- People who consented, for the setting `consent`: columns email, maid or idfa, plain or hashed with SHA-256.
SELECT email
FROM consents
