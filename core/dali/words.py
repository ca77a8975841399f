"""The words with which SODA tells of errors, in answers and in results of jobs."""

from imageserv.core.errors import (
    AuthenticationFault,
    AuthorizationFault,
    ImageServError,
    MultiValuedParamNotSupported,
    NotFoundFault,
    UnavailableFault,
    UsageFault,
)

# From the leaves to the root: the first class that an exception is an instance of answers for it.
_WORDS: tuple[tuple[type[ImageServError], str], ...] = (
    (MultiValuedParamNotSupported, "MultiValuedParamNotSupported"),
    (UsageFault, "UsageError"),
    (NotFoundFault, "UsageError"),
    (AuthenticationFault, "AuthenticationError"),
    (AuthorizationFault, "AuthorizationError"),
    (UnavailableFault, "ServiceUnavailable"),
)


def soda_word(error: Exception) -> str:
    """Return what a message in plain text starts with (SODA 1.0 section 4.2)."""
    return next((word for kind, word in _WORDS if isinstance(error, kind)), "Error")
