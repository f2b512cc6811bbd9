"""Decides which people of a query are sent, and which are withheld.

A person is a row of the query, and is withheld for the first reason that applies: any of the identifiers is on the
opt-out list (`suppress`); there is a consent list (`consent`), and none is on it; the person is in the control group, a
fixed share of the people. What a suppressed person, or one in the control group, holds is sent for nobody: somebody
else who holds it too is sent without it. A row without the key of a control group is not sent, but if its person has
opted out, what the row holds is sent for nobody.

`lists` reads the lists, as sorted digests. `filtered_readers` reads the people's rows in blocks, and hands their
identifiers to `people`. After the last row, `people` compares all digests with the lists and decides. Then
`filtered_readers` stores the records that are left. In a mirror, the warehouse applies the same rule, in SQL:
`trino/withholding_sql`.
"""
