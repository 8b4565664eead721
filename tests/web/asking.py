"""The page's application over corpora of tests, asked without a socket."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from fastapi.testclient import TestClient

from pinery.config_file import load_config
from pinery.web.app import build
from pinery.web.site import ServerSettings, ShownCorpus, Site
from tests.processes import wait_until


def site_of(*settings: dict[str, Any]) -> Site:
    """A site that shows these corpora."""
    return Site({f"{one['corpus']}.yaml": load_config(one) for one in settings}, ServerSettings())


@contextlib.contextmanager
def asking(site: Site) -> Iterator[TestClient]:
    """A program that asks the site's application, once its indexes are open; an error of the server is an answer."""
    with TestClient(build(site), base_url="http://127.0.0.1:8765", raise_server_exceptions=False) as client:
        wait_until(lambda: client.get("/ready").status_code == 200)
        yield client


@contextlib.contextmanager
def shown(settings: dict[str, Any]) -> Iterator[ShownCorpus]:
    """The one corpus of a site."""
    site = site_of(settings)
    try:
        found = site.shown(None)
        assert found is not None
        yield found
    finally:
        site.close()
