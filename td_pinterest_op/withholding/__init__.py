"""Whom to withhold: records in, records out, counts. Lists of people and a control group decide; no action knows."""
