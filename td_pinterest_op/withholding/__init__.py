"""Rows in, records out, and counts. Lists of people and a control group decide who is withheld; no action knows."""
