-- Made by `scripts/queries` from the operator's own rules: edit table and columns only.
-- Takes out of the ledger what was written before its base: no query looks at it any more.
DELETE FROM ${mirror.ledger} WHERE audience_id = '${mirror_audience}' AND plan < ${td.last_results.base}
