-- Who opted out: columns email, maid or idfa, plain or hashed with SHA-256. For `suppress` of a task.
SELECT email
FROM opt_outs
