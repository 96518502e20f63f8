"""The page that people look at: files of this package, served beside the API.

``static/`` holds it as the browser runs it: modules, styles, no build step, nothing from outside.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fastapi import FastAPI
from starlette.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

STATIC: Final = Path(__file__).parent / "static"

#: Scripts and styles are our own files. Pictures come from where the catalogue says.
_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' http: https:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS: Final = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    # Addresses name viewers, who are nobody else's business.
    "Referrer-Policy": "no-referrer",
    # Kept, and asked about each time: a new release shows at once.
    "Cache-Control": "no-cache",
}


class _Assets(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        answer.headers.update(HEADERS)
        return answer


def mount_page(api: FastAPI) -> None:
    """Serve the page at ``/`` of `api`, its files at ``/assets``."""
    api.mount("/assets", _Assets(directory=STATIC), name="assets")

    @api.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(STATIC / "index.html", headers=HEADERS)
