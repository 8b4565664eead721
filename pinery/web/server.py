"""The server process of the search page."""

from __future__ import annotations

import uvicorn

from pinery.web.app import build
from pinery.web.site import Site


def serve(site: Site) -> None:
    """Serve a site until a signal ends the process."""
    settings = site.settings
    uvicorn.run(build(site), host=settings.host, port=settings.port, log_level="warning", server_header=False)
