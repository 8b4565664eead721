"""The search page and its API as one ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

import pinery
from pinery.web import edit_api, failures, pages, picture_api, read_api
from pinery.web.safety import protect
from pinery.web.site import Site

FILES = Path(__file__).parent


def build(site: Site) -> FastAPI:
    """Return the application that shows a site; it closes the site when it ends."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        site.prepare()
        yield
        site.close()

    app = FastAPI(title="Pinery", version=pinery.__version__, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.site = site
    app.mount("/static", StaticFiles(directory=FILES / "static"), name="static")
    app.state.originals = picture_api.Originals()
    app.include_router(picture_api.router)
    app.include_router(read_api.router)
    app.include_router(edit_api.router)
    app.include_router(edit_api.forms)
    app.include_router(pages.router)
    failures.install(app)
    protect(app, site)
    return app
