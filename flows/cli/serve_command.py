"""The command `serve`: the search page of one or more corpora."""

import json
import os
import sys
from typing import Any

import click

from flows.cli.command import AS_JSON, SET, main
from flows.cli.ending import end
from flows.cli.help import examples


@main.command(epilog=examples("serve"))
@click.argument("configs", nargs=-1, required=True, metavar="CONFIG...")
@SET
@AS_JSON
@click.option("--host", default="127.0.0.1", show_default=True, help="Listen there; another host needs PINERY_TOKEN.")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="Listen on this port.")
@click.option("--editable", is_flag=True, help="Let visitors add and delete images of a folder, and index them.")
def serve(configs: tuple[str, ...], overrides: tuple[str, ...], as_json: bool, **flags: Any) -> None:
    """Show a page to look at, search and compare the images of each CONFIG."""

    def work() -> None:
        from flows.cli.launch import FLOWS, open_corpus
        from pinery.web.hosts import VARIABLE
        from pinery.web.server import check, serve
        from pinery.web.site import ServerSettings, Site

        settings = ServerSettings(
            **flags,
            token=os.environ.get("PINERY_TOKEN", "").strip() or None,
            page_hosts=os.environ.get(VARIABLE, "").split(","),
            run_command=(sys.executable, "-m", f"{FLOWS}.cli", "run"),
            run_options=tuple(part for one in overrides for part in ("--set", one)),
        )
        check(settings)
        opened = {path: open_corpus(path, overrides).config for path in configs}
        site = Site(opened, settings)
        names = list(site.corpora)

        def ready(url: str) -> None:
            shown = f"Pinery shows {', '.join(names)} at {url}, Ctrl-C ends it"
            click.echo(json.dumps({"url": url, "corpora": names}) if as_json else shown)

        serve(site, ready)

    end(work, as_json)
