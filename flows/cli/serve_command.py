"""The command `serve`: the search page of one or more corpora."""

import os
import sys
from typing import Any

import click

from flows.cli.command import SET, main
from flows.cli.ending import end
from flows.cli.help import examples


@main.command(epilog=examples("serve"))
@click.argument("configs", nargs=-1, required=True, metavar="CONFIG...")
@SET
@click.option("--host", default="127.0.0.1", show_default=True, help="Listen there; another host needs PINERY_TOKEN.")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="Listen on this port.")
@click.option("--editable", is_flag=True, help="Let visitors add and delete images of a folder, and index them.")
def serve(configs: tuple[str, ...], overrides: tuple[str, ...], **flags: Any) -> None:
    """Show a page to look at, search and compare the images of each CONFIG."""

    def work() -> None:
        from flows.cli.launch import open_corpus
        from pinery.web.server import serve
        from pinery.web.site import ServerSettings, Site

        opened = {path: open_corpus(path, overrides).config for path in configs}
        command = (sys.executable, "-m", "flows.cli.commands", "run")
        token = os.environ.get("PINERY_TOKEN") or None
        serve(Site(opened, ServerSettings(**flags, token=token, run_command=command)))

    end(work, as_json=False)
