"""Web pages from the templates in `templates/`: HTML for people who try things between the emulators."""

from pathlib import Path
from typing import Any

import jinja2
from aiohttp import web

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
# Nothing is loaded from anywhere else, and only the pages' own inline script and style run.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; base-uri 'none'"
)


def page(template: str, **values: Any) -> web.Response:
    """A template filled with `values`; a value that is missing is an error."""
    text = _TEMPLATES.get_template(template).render(**values)
    headers = {"Cache-Control": "no-store", "Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"}
    return web.Response(text=text, content_type="text/html", headers=headers)
