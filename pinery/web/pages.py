"""The pages: what a browser gets with or without scripts."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from fastapi.templating import Jinja2Templates

router = APIRouter(default_response_class=HTMLResponse, include_in_schema=False)
templates = Jinja2Templates(directory=Path(__file__).parent / "templates")


@router.get("/")
def gallery(request: Request, corpus: str | None = None, start: int = 0) -> HTMLResponse:
    """Show the items of a corpus."""
    shown = request.app.state.site.shown(corpus)
    listed = shown.catalogue.now()
    places = listed.page(start, start + 60) if listed else []
    return templates.TemplateResponse(request, "gallery.html", {"shown": shown, "places": places})
