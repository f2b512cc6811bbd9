-- The people of the activation. Its output mapping names the column: email, maid or idfa, or edit the name here.
SELECT email
FROM activation_actions_table
