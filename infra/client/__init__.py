"""A client of the HTTP API: ``Client`` and ``AsyncClient``, typed, on httpx alone.

It must not know Freshgrid: nothing outside this folder is imported, so that it can be installed by
itself (``pip install ./infra/client`` gives ``freshgrid.client``).
"""

from .client import AsyncClient, Client, ProblemError

__all__ = ["AsyncClient", "Client", "ProblemError"]
