"""The API without a socket: some of its routes, and a client of them."""

from __future__ import annotations

from typing import Any

import httpx
from starlette.types import ASGIApp

from infra.http.app import create_api
from infra.http.explore import explore_routes
from infra.http.ready_pages import ReadyPages
from infra.http.routes import Routes
from infra.http.state import state_routes
from models.explore.impressions import Page


def client_of(*rooms: Routes, limit_s: float = 5.0) -> httpx.AsyncClient:
    """Asks an API of these routes."""
    return _client(create_api(limit_s, rooms))


def reading(reader: object, limit_s: float = 5.0) -> httpx.AsyncClient:
    """Asks the routes of a ranker, of which this is as much as is needed."""
    return client_of(explore_routes(reader, Page), state_routes(reader), limit_s=limit_s)


def reading_ready(reader: Any, limit_s: float) -> httpx.AsyncClient:
    """The same behind the pages that are ready, as a ranker has it."""
    routes = create_api(limit_s, [explore_routes(reader, Page), state_routes(reader)])
    return _client(ReadyPages(routes, reader, limit_s))


def _client(app: ASGIApp) -> httpx.AsyncClient:
    # What fails is answered, as by a server, and not raised here.
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://ranker")
