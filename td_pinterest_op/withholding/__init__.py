"""Reads the people of a query, and decides who of them is sent and who is withheld. Nothing is sent here.

A person is a row of the query. These people are withheld, for the first reason that applies: those of whom any
identifier is on the opt-out list (`suppress`); if there is a consent list (`consent`), those of whom none is on it;
those in the control group, a fixed share of the people. What a suppressed person, or one in the control group, holds is
sent for nobody: somebody else who holds it too is sent without it. A rejected row is never sent, but if its person has
opted out, what it holds is sent for nobody.

The passes: `lists` reads the lists, as sorted digests. `readers` reads the people's rows in blocks, turns the values
into identifiers, and hands these to `people`. After the last row, `people` compares all digests with the lists and
decides. Then `readers` stores the records that are left. Without lists and control group, it stores them at once.
`withholding_sql` is the same rule in SQL: in a mirror, the warehouse applies it.
"""
