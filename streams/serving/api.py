"""The HTTP API of a ranker: which routes there are, and what stands behind each."""

from __future__ import annotations

from typing import NamedTuple

from fastapi import FastAPI

from infra.http.account_map import account_map_routes
from infra.http.administration import administration_routes
from infra.http.app import create_api
from infra.http.catalogue import catalogue_routes
from infra.http.events import events_routes
from infra.http.explore import explore_routes
from infra.http.igql import igql_routes
from infra.http.live import live_routes
from infra.http.operations import OperationsDesk, operations_routes
from infra.http.repairs import Repairs, repairs_routes
from infra.http.rights import Rights, rights_routes
from infra.http.shelves import shelves_routes
from infra.http.similar import similar_routes
from infra.http.state import state_routes
from infra.http.streams import Streams
from infra.http.tokens import Issuer, tokens_routes
from infra.http.viewers import viewers_routes
from infra.http.weights import weights_routes
from infra.http.writing import writing_routes
from infra.page import mount_page
from infra.stores import GridNews
from models.explore.impressions import Page
from streams.serving.atlas import Atlas
from streams.serving.catalogue_export import CatalogueExport
from streams.serving.directory import Directory
from streams.serving.explorer import Explorer
from streams.serving.igql_reference import Language
from streams.serving.intake import Intake
from streams.serving.likeness import Likenesses
from streams.serving.lookup import Lookup
from streams.serving.office import Office
from streams.serving.shelves import Shelves
from streams.serving.viewer_directory import ViewerDirectory
from streams.serving.weights import WeightsDesk


class Behind(NamedTuple):
    """What answers the requests of each concern."""

    lookup: Lookup
    explorer: Explorer
    desk: WeightsDesk
    office: Office
    directory: Directory
    atlas: Atlas
    export: CatalogueExport
    likeness: Likenesses
    shelves: Shelves
    viewers: ViewerDirectory
    intake: Intake
    grids: GridNews
    language: Language
    operations: OperationsDesk
    repairs: Repairs
    tokens: Issuer
    forgetting: Rights


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
            events_routes(behind.intake),
            writing_routes(behind.intake, behind.export),
            catalogue_routes(behind.directory),
            account_map_routes(behind.atlas),
            similar_routes(behind.likeness),
            shelves_routes(behind.shelves),
            viewers_routes(behind.viewers),
            rights_routes(behind.forgetting),
            tokens_routes(behind.tokens),
            weights_routes(behind.desk, behind.explorer),
            administration_routes(behind.office),
            igql_routes(behind.language),
            operations_routes(behind.operations),
            repairs_routes(behind.repairs),
            state_routes(behind.lookup),
        ),
    )
    mount_page(api)
    return api
