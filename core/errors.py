"""Everything that can go wrong, as one tree.

::

    ImageServError
    ├── UsageFault                       the client can mend the request
    │   ├── MultiValuedParamNotSupported a single-valued parameter came twice
    │   ├── UnsupportedFault             a right request that this image cannot serve
    │   ├── LimitFault                   more than a published limit
    │   └── RefusedFault                 not now: a job is in another state, or one has too many
    ├── NotFoundFault                    no such repository, dataset or image
    │   └── NoOverlapFault               the image exists, the stencil misses it
    ├── AuthenticationFault              say who you are
    ├── AuthorizationFault               you may not
    ├── UnavailableFault                 the repository cannot be read now
    ├── FitsFault                        a file is not FITS that can be served
    ├── ConfigurationFault               the service cannot start as configured
    └── PluginFault                      a plugin is missing, broken or contradicts the contract

The tree knows neither HTTP statuses nor DALI's words; the table from one to
the other is `imageserv.vo.faults`.
"""

from collections.abc import Mapping
from typing import Any


class ImageServError(Exception):
    """The root of the tree.

    Parameters
    ----------
    message
        One sentence that says what is wrong and what would be right.
    parameter
        The name of the request parameter at fault, if there is one.
    details
        Further facts for the error document, as JSON values.
    """

    def __init__(self, message: str, *, parameter: str | None = None, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.parameter = parameter
        self.details: dict[str, Any] = dict(details or {})


class WouldWait(Exception):
    """No fault: the answer takes a wait or long work, and was asked for by one who has other things to do.

    Who can wait asks again, with ``wait=True``.
    """


class UsageFault(ImageServError):
    """The request is wrong, and the client can mend it."""


class MultiValuedParamNotSupported(UsageFault):
    """A single-valued parameter was given more than once (DALI 1.1 section 3.2; SODA 1.0 has the name)."""


class UnsupportedFault(UsageFault):
    """The request is right, but this image cannot be served that way."""


class LimitFault(UsageFault):
    """The request asks for more than a published limit."""


class RefusedFault(UsageFault):
    """The request is right, but not now: a job is in another state, or its owner has too many."""


class NotFoundFault(ImageServError):
    """There is no such repository, dataset or image."""


class NoOverlapFault(NotFoundFault):
    """The image exists, but the stencil has no pixel of it."""


class AuthenticationFault(ImageServError):
    """The image may not be given to an anonymous client."""


class AuthorizationFault(ImageServError):
    """The image may not be given to this client."""


class UnavailableFault(ImageServError):
    """The repository, or a file of it, cannot be read at present."""


class FitsFault(ImageServError):
    """A file is not FITS, or is FITS beyond the limits, or is damaged."""


class ConfigurationFault(ImageServError):
    """The configuration is wrong: the service does not start."""


class PluginFault(ImageServError):
    """A plugin is missing, broken, or does not keep the contract."""
