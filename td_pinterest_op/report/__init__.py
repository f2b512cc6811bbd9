"""The report: one self-contained HTML page about the last run of an audience and its history."""
