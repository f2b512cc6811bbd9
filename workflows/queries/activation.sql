-- The people of the activation. Name the column email, maid or idfa in the activation's output mapping, or change it here.
SELECT email
FROM activation_actions_table
