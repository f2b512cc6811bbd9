-- Who opted out: columns email, maid or idfa, plain or hashed with SHA-256. For `suppressed: true` in config/mirror.yml.
SELECT email
FROM opt_outs
