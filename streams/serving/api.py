"""The HTTP API of a ranker: which routes there are, and what stands behind each."""

from __future__ import annotations

from typing import NamedTuple

from fastapi import FastAPI

from infra.http.app import create_api
from infra.http.catalogue import catalogue_routes
from infra.http.events import events_routes
from infra.http.explore import explore_routes
from infra.http.igql import igql_routes
from infra.http.live import live_routes
from infra.http.state import state_routes
from infra.http.streams import Streams
from infra.http.viewers import viewers_routes
from infra.http.weights import weights_routes
from infra.page import mount_page
from infra.stores import GridNews
from streams.serving.directory import Directory
from streams.serving.event_intake import EventIntake
from streams.serving.igql_reference import Language
from streams.serving.lookup import Lookup, Page
from streams.serving.viewer_directory import ViewerDirectory
from streams.serving.weights import WeightsDesk


class Behind(NamedTuple):
    """What answers the requests of each concern."""

    lookup: Lookup
    desk: WeightsDesk
    directory: Directory
    viewers: ViewerDirectory
    events: EventIntake
    grids: GridNews
    language: Language


def explore_api(behind: Behind, streams: Streams, limit_s: float) -> FastAPI:
    """The API over one ranker, and the page that shows it.

    Args:
        streams: of the process that serves it.
        limit_s: seconds within which every request begins to be answered.
    """
    api = create_api(
        limit_s,
        (
            explore_routes(behind.lookup, Page),
            live_routes(behind.lookup, behind.grids, streams),
            events_routes(behind.events),
            catalogue_routes(behind.directory),
            viewers_routes(behind.viewers),
            weights_routes(behind.desk),
            igql_routes(behind.language),
            state_routes(behind.lookup),
        ),
    )
    mount_page(api)
    return api
