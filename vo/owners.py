"""Who a client is, as far as the configuration lets it say so."""

import hashlib
from ipaddress import ip_address, ip_network

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from imageserv.core.config import AuthenticationConfig
from imageserv.core.errors import AuthenticationFault

_PEER = "imageserv.peer"


class Owners:
    """Names of clients: by bearer tokens (RFC 6750), or by a header that a trusted proxy sets.

    Parameters
    ----------
    config
        What is trusted.
    """

    def __init__(self, config: AuthenticationConfig) -> None:
        self._names = {digest: owner for owner, digests in config.tokens.items() for digest in digests}
        self._header = config.header
        self._proxies = [ip_network(proxy) for proxy in config.proxies]

    def of(self, request: Request) -> str | None:
        """Return the name of the client, None for one that has none.

        Raises
        ------
        AuthenticationFault
            Raised if it sends a token that nobody has: it would take what it then sees for its own.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if self._names and scheme.lower() == "bearer":
            owner = self._names.get(hashlib.sha256(token.strip().encode()).hexdigest())
            if owner is None:
                raise AuthenticationFault("the bearer token is not known here")
            return owner
        return self._told(request.scope, request.headers) if self._header else None

    def _told(self, scope: Scope, headers: Headers) -> str | None:
        peer = scope.get(_PEER) or (scope["client"][0] if scope["client"] else "")
        try:
            address = ip_address(peer)
        except ValueError:
            return None
        # An address of the other family is in no network.
        return headers.get(self._header or "") or None if any(address in proxy for proxy in self._proxies) else None


class Peer:
    """ASGI middleware that remembers who is connected, before others put in its place whom a proxy speaks for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] == "http" and scope.get("client"):
            scope[_PEER] = scope["client"][0]
        await self._app(scope, receive, send)
