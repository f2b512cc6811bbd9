"""`http>` and `mail>`, to this machine only: what a workflow tells somebody must never leave a test.

Sources: digdag-standards, operator/HttpOperatorFactory.java, MailOperatorFactory.java. Not here: proxies, query
parameters, retries of an `http>`, attached files, and a mail configuration of the server's.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import smtplib
import socket
import urllib.error
import urllib.request
from email.message import EmailMessage
from typing import Any
from urllib.parse import urlsplit

from .config import DigError, Params, RefusedError, TaskFailedError, as_bool, as_int, as_text, nested
from .operators import Call, Outcome, resolve_secrets
from .td_operators import project_text

_TIMEOUT = 30  # seconds


def http(call: Call) -> Outcome:
    """`http>`: one request; store `http.last_status`, with `store_content` also `http.last_content`."""
    params = {**nested(call.params, "http"), **call.params}
    # digdag looks there first: a secret of that name takes the place of every http> task's address.
    address = call.machine.secrets.get("http.uri") or resolve_secrets(as_text(params, "_command"), call.machine)
    shown = address if address == params["_command"] else "***"
    method = str(params.get("method", "GET")).upper()
    _check_here(urlsplit(address).hostname or "")
    body, headers = _content(call, params)
    request = urllib.request.Request(address, data=body, method=method, headers=headers | _headers(call, params))
    call.machine.log(f"[INFO] ({call.name}): Sending HTTP request: {method} {shown}\n")
    status, content = _send(request, timeout=as_int(params, "timeout", _TIMEOUT))
    if status >= 400:
        kind = "4XX Client" if status < 500 else "5XX Server"
        raise TaskFailedError(f"HTTP {kind} Error: {method} {shown}: {status}")
    stored: Params = {"last_status": status}
    if as_bool(params, "store_content"):
        stored["last_content"] = content
    return Outcome(store={"http": stored})


def _check_here(host: str) -> None:
    with contextlib.suppress(ValueError):
        if host == "localhost" or ipaddress.ip_address(host).is_loopback:
            return
    raise RefusedError(f"http> and mail> reach this machine only, not {host or 'nothing'}")


def _content(call: Call, params: Params) -> tuple[bytes | None, dict[str, str]]:
    """The body and its type: a mapping or list goes out as JSON, also with the secrets in it."""
    content = params.get("content")
    if content is None:
        return None, {}
    is_text = not isinstance(content, (dict, list))
    kind = str(params.get("content_format", "text" if is_text else "json")).lower()
    if kind not in ("text", "json"):
        raise RefusedError(f"http> knows content_format: json and text here, not {kind}")
    filled = _with_secrets(call, content)
    text = filled if kind == "text" and isinstance(filled, str) else json.dumps(filled)
    default = "application/json" if kind == "json" else "text/plain"
    return text.encode(), {"Content-Type": str(params.get("content_type", default))}


def _with_secrets(call: Call, value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_secrets(call, inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_secrets(call, inner) for inner in value]
    return resolve_secrets(value, call.machine) if isinstance(value, str) else value


def _headers(call: Call, params: Params) -> dict[str, str]:
    headers = {}
    for entry in params.get("headers", []):
        if not isinstance(entry, dict) or len(entry) != 1:
            raise DigError(f"Invalid header: {json.dumps(entry)}")
        ((name, value),) = entry.items()
        headers[name] = resolve_secrets(str(value), call.machine)
    return headers


def _send(request: urllib.request.Request, *, timeout: float) -> tuple[int, str]:
    # Without the environment's proxies: the request stays on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=timeout) as response:
            return response.status, response.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, ""
    except OSError as error:
        raise TaskFailedError(f"{type(error).__name__}: {error}") from None


def mail(call: Call) -> Outcome:
    """`mail>`: one message through the SMTP server that `mail:` or the secrets name."""
    params = {**nested(call.params, "mail"), **call.params}
    secrets = {name.removeprefix("mail."): value for name, value in call.machine.secrets.items() if name[:5] == "mail."}
    message = _message(call, params)
    host = secrets.get("host") or params.get("host")
    if not host:
        raise TaskFailedError("Missing SMTP configuration")
    # digdag reads the parameter even when there is a secret.
    parameter = as_int(params, "port")
    port = int(secrets.get("port", parameter))
    _check_here(str(host))
    options = {**params, **secrets}
    try:
        with smtplib.SMTP(str(host), port, timeout=_TIMEOUT) as server:
            server.ehlo()
            if as_bool(options, "tls", True) and server.has_extn("starttls"):
                server.starttls()
            if "username" in options:
                server.login(str(options["username"]), secrets.get("password", ""))
            server.send_message(message)
    except (smtplib.SMTPException, socket.gaierror, OSError) as error:
        raise TaskFailedError(f"{type(error).__name__}: {error}") from None
    return Outcome()


def _message(call: Call, params: Params) -> EmailMessage:
    message = EmailMessage()
    message["From"] = as_text(params, "from")
    for field in ("to", "cc", "bcc"):
        given = params.get(field, [])
        addresses = given if isinstance(given, list) else [given]
        if addresses:
            message[field] = ", ".join(map(str, addresses))
    if "to" not in message:
        as_text(params, "to")
    message["Subject"] = as_text(params, "subject")
    body = project_text(call, params, "body")
    message.set_content(body, subtype="html" if as_bool(params, "html") else "plain")
    return message
