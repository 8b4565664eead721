"""What every command is made of: the group, its shared options, and the way from a function to a printed result."""

import functools
from collections.abc import Callable
from typing import Any

import click

from flows.cli.ending import end
from flows.cli.help import Commands, examples
from flows.leaving import leaving
from flows.parameters import with_flags
from pinery.errors import DifferentError, NotPassedError, PineryError
from pinery.reports import RunReport, VerifyReport

Command = Callable[..., Any]


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pinery", prog_name="pinery")
def main() -> None:
    """Keep a Pinecone index true to an image corpus, and search it.

    CONFIG is a YAML file such as configs/sample.yaml; docs/config.md has all of its keys. `pinery COMMAND --help` has
    examples. Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 refused by a guard or a held lease, 130 or 143
    stopped by a signal (run the same command again to go on).
    """


WAIT = click.option("--wait", is_flag=True, help="Wait for another run of the corpus instead of refusing.")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object to stdout, nothing else.")
SET = click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a config key.")


def allow_deletes(what: str = "plan") -> Callable[[Command], Command]:
    """Return the option `--allow-deletes`, whose help says what it lets pass."""
    return click.option(
        "--allow-deletes", is_flag=True, help=f"Let a {what} pass that deletes more than the delete_guard."
    )


def command(*options: Callable[[Command], Command]) -> Callable[[Command], click.Command]:
    """Return a decorator that makes a function a command over one config, which prints what the function returns."""

    def decorate(function: Command) -> click.Command:
        @functools.wraps(function)
        def run(config: str, overrides: tuple[str, ...], as_json: bool, **flags: Any) -> None:
            def work() -> None:
                print_result(function.__name__, lambda: function(config, overrides, **flags), as_json)

            with leaving():
                end(work, as_json)

        wrapped: Command = run
        shared: tuple[Callable[[Command], Command], ...] = (click.argument("config"), SET, AS_JSON)
        for option in reversed((*shared, *options)):
            wrapped = option(wrapped)
        return main.command(name=function.__name__, epilog=examples(function.__name__))(wrapped)

    return decorate


def print_result(command: str, work: Callable[[], Any], as_json: bool) -> None:
    """Print the result of `work`, as the command prints it; end with the exit code that it has, if any."""
    bad: PineryError | None
    try:
        result, bad = work(), None
    except DifferentError as error:
        result, bad = VerifyReport.from_dict(error.result), error
    except NotPassedError as error:
        result, bad = RunReport.from_dict(error.result), error
    from flows.cli import shown

    shown.show(command, result, as_json)
    if bad is not None:
        if not as_json:
            click.echo(f"pinery: {with_flags(str(bad))}", err=True)
        raise click.exceptions.Exit(bad.exit_code) from None
    if code := getattr(result, "exit_code", 0):
        raise click.exceptions.Exit(code)
