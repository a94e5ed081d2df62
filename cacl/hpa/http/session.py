"""Sessions of requests that send no more than they are told to, and follow nothing."""

from __future__ import annotations

from http.cookiejar import DefaultCookiePolicy

import requests
from requests.adapters import HTTPAdapter


class _NoCredentials(requests.auth.AuthBase):
    """Keeps requests from sending what a user's `.netrc` holds."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class _Session(requests.Session):
    """A session that leaves redirects alone; requests reads their whole body, however long."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return that there is no redirect to follow."""


def plain_session(adapter: HTTPAdapter, user_agent: str) -> requests.Session:
    """Return a session without credentials, cookies or redirects, for bytes as they are stored."""
    session = _Session()
    session.headers.update({"User-Agent": user_agent, "Accept-Encoding": "identity"})
    session.auth = _NoCredentials()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    for scheme in ("http://", "https://"):
        session.mount(scheme, adapter)
    return session
