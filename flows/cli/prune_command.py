"""`pinery prune`: removes what no target of a corpus needs any more."""

from typing import Any

import click

from flows.cli.command import WAIT, command


@command(click.option("--yes", is_flag=True, help="Do it; without it, only say what would go."), WAIT)
def prune(config: str, overrides: tuple[str, ...], *, yes: bool, wait: bool) -> Any:
    """Remove what nothing needs: retired indexes, checkpoints without a target, mostly dead parts, old files."""
    from flows.cli.launch import open_corpus
    from flows.progress import current_progress, on_terminal
    from pinery.steps.prune import prune

    corpus = open_corpus(config, overrides)
    with on_terminal():
        return prune(corpus, really=yes, wait=wait, progress=current_progress())
