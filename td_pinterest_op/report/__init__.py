"""Statistics → one self-contained HTML page, for a run and for the history of its audience.

Only `page` and `charts` need the extra `report` (jinja2, pygal).
"""
