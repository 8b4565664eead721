"""`python -m flows.cli` is `pinery`."""

from flows.cli.commands import main

main()
