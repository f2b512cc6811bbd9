-- Who consented: columns email, maid or idfa, plain or hashed with SHA-256. For `consent` of a task.
SELECT email
FROM consents
