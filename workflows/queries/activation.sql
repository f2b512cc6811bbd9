-- The people of the activation. Its output mapping names the column: email, maid or idfa, or edit the name here.
SELECT email
FROM ${activation_actions_table.indexOf(".") < 0 ? activation_actions_db + "." + activation_actions_table : activation_actions_table}
