"""A real Chromium, and real servers with corpora that are made once for all workers of the session."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from filelock import FileLock
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from tests.processes import PINERY, wait_until
from tests.web.browser import corpora

DESKTOP, PHONE = (1280, 800), (390, 844)
expect.set_options(timeout=15_000)
Open = Callable[..., Page]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("slow")


def chromium() -> str:
    """The browser's program; a test without one fails, since nothing else shows that the page works."""
    found = os.environ.get("PINERY_CHROMIUM") or shutil.which("chromium")
    assert found, "no Chromium: `apt-get install chromium`, or set PINERY_CHROMIUM to the path of one"
    return found


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One browser for these tests; its event loop must be gone before other tests run loops of their own."""
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def made(common: Path) -> Callable[[str], Path]:
    """Makes a corpus by its name in `corpora`, once for all workers; returns its config."""
    root = common / "browser-corpora"
    root.mkdir(exist_ok=True)

    def make(name: str) -> Path:
        with FileLock(root / f"{name}.lock"):
            config = root / name / f"{name}.yaml"
            if not config.exists():
                shutil.rmtree(root / name, ignore_errors=True)
                getattr(corpora, name)(root / name)
            return config

    return make


class Served:
    """`pinery serve` as a process of its own."""

    def __init__(self, cache: Path, *arguments: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = (cache / f"server-{self.port}.log").open("w")
        self.process = subprocess.Popen(
            [*PINERY, "serve", *arguments, "--port", str(self.port)],
            stdout=self.log,
            stderr=self.log,
            text=True,
            env=os.environ | {"PINERY_CACHE": str(cache)},
        )
        wait_until(self.answers, self.process)

    def answers(self) -> bool:
        """Whether it serves already."""
        try:
            return httpx.get(f"{self.url}/static/theme.js").status_code == 200
        except httpx.TransportError:
            return False

    def end(self) -> None:
        """Stop it, and with it whatever it has started."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        self.log.close()


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[Callable[..., Served]]:
    """Starts servers, which end with the session."""
    started: list[Served] = []

    def start(*arguments: str) -> Served:
        cache = tmp_path_factory.mktemp("served")
        for database in migrated.glob("*.db"):
            shutil.copy(database, cache)
        started.append(Served(cache, *arguments))
        return started[-1]

    yield start
    for one in started:
        one.end()


@pytest.fixture(scope="session")
def site(made: Callable[[str], Path], serve: Callable[..., Served]) -> str:
    """The address of a server of the corpora `photos` and `words`, which has counted their facets.

    It knows what the scores of `photos` mean.
    """
    url = serve(str(made("photos")), str(made("words"))).url
    for corpus in ("photos", "words"):
        assert httpx.get(f"{url}/api/facets?corpus={corpus}&wait=60", timeout=90).json()["ready"]
    wait_until(lambda: "of pairs" in httpx.get(f"{url}/search?id=red-01.jpg", timeout=60).text)
    return url


@pytest.fixture(scope="session")
def big(made: Callable[[str], Path], serve: Callable[..., Served]) -> str:
    """The address of a server of a million items."""
    return serve(str(made("million"))).url


@pytest.fixture
def opened(browser: Browser) -> Iterator[Open]:
    """Opens pages at addresses; at the test's end there was no error in any, and no script was forbidden."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def open_page(
        address: str,
        size: tuple[int, int] = DESKTOP,
        *,
        scheme: Any = "light",
        scripts: bool = True,
        scale: float = 1,
        missing: bool = False,
        **more: Any,
    ) -> Page:
        """`missing` says that an answer of 4xx belongs to the test."""
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,
            java_script_enabled=scripts,
            device_scale_factor=scale,
            **more,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda told: errors.append(told.text) if _is_bad(told, missing) else None)
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []


def _is_bad(told: ConsoleMessage, missing: bool) -> bool:
    """Whether a message is an error; a picture that can't be made, or not yet, is none."""
    refused = "the server responded with a status of" in told.text
    return told.type == "error" and not (refused and (missing or "/thumb?" in told.location["url"]))
