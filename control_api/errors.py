"""What the API refuses, and how.

ApiError
    an answer that is no success: HTTP status, a code for programs, a sentence for people, details by field
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

RETRY_AFTER_SECONDS = 2


@dataclass(frozen=True, slots=True)
class FieldError:
    """``field`` as it is called in the request, with dots and indices (``tags[1]``)."""

    field: str
    message: str


class ApiError(Exception):
    """Raised anywhere below a route. ``code`` is snake_case and part of the API; no secret in ``message``."""

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        message: str,
        details: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = tuple(details)
        self.headers = dict(headers or {})


def not_found(noun: str) -> ApiError:
    """``not_found("room")`` is 404 ``room_not_found``."""
    return ApiError(HTTPStatus.NOT_FOUND, f"{noun.replace(' ', '_')}_not_found", f"There is no such {noun}.")


def invalid(field: str, message: str) -> ApiError:
    """400 ``invalid_request`` that names one field."""
    return ApiError(
        HTTPStatus.BAD_REQUEST, "invalid_request", f"{field}: {message}", (FieldError(field, message),)
    )


def conflict(code: str, message: str, field: str | None = None) -> ApiError:
    details = (FieldError(field, message),) if field is not None else ()
    return ApiError(HTTPStatus.CONFLICT, code, message, details)


def forbidden(code: str, message: str) -> ApiError:
    return ApiError(HTTPStatus.FORBIDDEN, code, message)


def version_mismatch(noun: str) -> ApiError:
    """412 for an If-Match that does not name the current version."""
    return ApiError(
        HTTPStatus.PRECONDITION_FAILED,
        "version_mismatch",
        f"The {noun} was changed meanwhile; read it again and repeat the change.",
    )


def unauthorized(code: str = "unauthorized", message: str = "Sign in first.") -> ApiError:
    """401 with the challenge of RFC 6750 section 3."""
    return ApiError(HTTPStatus.UNAUTHORIZED, code, message, headers={"WWW-Authenticate": "Bearer"})


def too_many(retry_after_seconds: int) -> ApiError:
    return ApiError(
        HTTPStatus.TOO_MANY_REQUESTS,
        "rate_limited",
        f"Too many requests; try again in {retry_after_seconds} s.",
        headers={"Retry-After": str(retry_after_seconds)},
    )


def unavailable(message: str = "The database cannot be reached; try again shortly.") -> ApiError:
    return ApiError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "unavailable",
        message,
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
    )
