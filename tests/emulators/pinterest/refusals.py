"""The errors that the API answers, with the codes seen of the live service (`Pinterest.Lib.Error`)."""

from functools import partial


class RefusalError(Exception):
    """An answer other than success: HTTP `status`, Pinterest's own `code`, and a message."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


# The code that goes with a status when a fault names none.
CODES = {400: 1, 401: 2, 403: 29, 404: 2, 409: 1, 413: 1, 423: 1, 429: 8, 500: 0, 502: 0, 503: 0}


unauthenticated = partial(RefusalError, 401, 2, "Authentication failed.")
invalid_grant = partial(RefusalError, 401, 283, "The provided authorization grant is invalid, expired or revoked.")
unknown_app = partial(RefusalError, 401, 283, "The client_id is not that of an app.")
unknown_redirect = partial(RefusalError, 400, 7, "The redirect_uri is not registered in the app.")
not_permitted = partial(RefusalError, 403, 29, "You are not permitted to access that resource.")
throttled = partial(RefusalError, 429, 8, "You have exceeded your rate limit. Try again later.")


def invalid(message: str) -> RefusalError:
    return RefusalError(400, 1, f"Invalid request: {message}")


def invalid_audience(message: str) -> RefusalError:
    return RefusalError(400, 400, f"Invalid audience parameters: {message}")


def missing_scope(scope: str) -> RefusalError:
    text = "Authorization failed. Your token does not have sufficient permissions to make this request."
    return RefusalError(401, 3, f"{text} Missing: ['{scope}'].")


def not_found(what: str) -> RefusalError:
    return RefusalError(404, 2, f"{what} not found.")


def not_ready(status: int) -> RefusalError:
    """An audience on a list that is PROCESSING, answered 409 or 400."""
    if status == 400:
        return invalid_audience("the customer list is not ready")
    return RefusalError(status, 1, "The customer list is still being processed. Try again later.")


def too_large(most: int, *, status: int) -> RefusalError:
    return RefusalError(status, 1, f"Request entity too large: at most {most} records.")
