-- Made by `scripts/queries` from the operator's own rules: edit table and columns only.
-- In place of a list that is not switched on.
SELECT cast(NULL AS varchar) AS email WHERE 1 = 0
