-- Who consented: columns email, maid or idfa, plain or hashed with SHA-256. For `consented: true` in config/mirror.yml.
SELECT email
FROM consents
