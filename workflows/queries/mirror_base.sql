-- Made by `scripts/queries` from the operator's own rules: edit table and columns only.
-- The plan that the ledger begins with; 0 before the first replace.
SELECT coalesce(max(plan), 0) AS base FROM ${mirror.ledger}
WHERE audience_id = '${mirror_audience}' AND op IN ('replaced', 'compacted')
