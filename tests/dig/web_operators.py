"""`http>` and `mail>`, to this machine only: no message of a workflow may leave a test.

Sources: digdag-standards, operator/HttpOperatorFactory.java, MailOperatorFactory.java.
"""

import contextlib
import ipaddress
import json
import smtplib
import urllib.error
import urllib.request
from email.message import EmailMessage
from typing import Any
from urllib.parse import urlsplit

from .config import Params, RefusedError, TaskFailedError, as_int, as_text, mapping_at
from .operators import Call, Outcome, resolve_secrets

_TIMEOUT = 30  # seconds


def http(call: Call) -> Outcome:
    """`http>`: one request, whose `content` goes out as JSON, also with the secrets in it."""
    params = {**mapping_at(call.params, "http"), **call.params}
    # digdag looks there first: a secret of that name takes the place of every http> task's address.
    address = call.machine.secrets.get("http.uri") or resolve_secrets(as_text(params, "_command"), call.machine)
    shown = address if address == params["_command"] else "***"
    method = str(params.get("method", "GET")).upper()
    _check_here(urlsplit(address).hostname or "")
    body = json.dumps(_with_secrets(call, params["content"])).encode() if "content" in params else None
    headers = {"Content-Type": "application/json"} if body else {}
    call.machine.log(f"[INFO] ({call.name}): Sending HTTP request: {method} {shown}\n")
    status = _send(urllib.request.Request(address, data=body, method=method, headers=headers))
    if status >= 400:
        kind = "4XX Client" if status < 500 else "5XX Server"
        raise TaskFailedError(f"HTTP {kind} Error: {method} {shown}: {status}")
    return Outcome(store={"http": {"last_status": status}})


def _check_here(host: str) -> None:
    with contextlib.suppress(ValueError):
        if host == "localhost" or ipaddress.ip_address(host).is_loopback:
            return
    raise RefusedError(f"http> and mail> reach this machine only, not {host or 'nothing'}")


def _with_secrets(call: Call, value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_secrets(call, inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_secrets(call, inner) for inner in value]
    return resolve_secrets(value, call.machine) if isinstance(value, str) else value


def _send(request: urllib.request.Request) -> int:
    # The request stays on this machine, so the environment's proxies are ignored.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_TIMEOUT) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError as error:
        raise TaskFailedError(f"{type(error).__name__}: {error}") from None


def mail(call: Call) -> Outcome:
    """`mail>`: one message, the command's `data`, through the SMTP server that `mail:` or the secrets name."""
    params = {**mapping_at(call.params, "mail"), **call.params}
    secrets = {name.removeprefix("mail."): value for name, value in call.machine.secrets.items() if name[:5] == "mail."}
    message = _message(params)
    host = secrets.get("host") or params.get("host")
    if not host:
        raise TaskFailedError("Missing SMTP configuration")
    # digdag reads the parameter even when there is a secret.
    parameter = as_int(params, "port")
    _check_here(str(host))
    try:
        with smtplib.SMTP(str(host), int(secrets.get("port", parameter)), timeout=_TIMEOUT) as server:
            server.send_message(message)
    except (smtplib.SMTPException, OSError) as error:
        raise TaskFailedError(f"{type(error).__name__}: {error}") from None
    return Outcome()


def _message(params: Params) -> EmailMessage:
    message = EmailMessage()
    message["From"] = as_text(params, "from")
    to = params.get("to")
    message["To"] = ", ".join(map(str, to)) if isinstance(to, list) else as_text(params, "to")
    message["Subject"] = as_text(params, "subject")
    message.set_content(as_text(mapping_at(params, "_command"), "data"))
    return message
