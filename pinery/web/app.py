"""The search page and its API as one ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

import pinery
from pinery.web import pages
from pinery.web.site import Site

FILES = Path(__file__).parent


def build(site: Site) -> FastAPI:
    """Return the application that shows a site; it closes the site when it ends."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        site.close()

    app = FastAPI(title="Pinery", version=pinery.__version__, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.site = site
    app.mount("/static", StaticFiles(directory=FILES / "static"), name="static")
    app.include_router(pages.router)
    return app
