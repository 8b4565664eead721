"""Ends a command: with its failure in one line and its exit code, also after a signal or without a reader."""

import gc
import json
import os
import shlex
import signal
import sys
from collections.abc import Callable
from types import FrameType

import click

from flows.leaving import release
from flows.parameters import with_flags
from pinery.addresses import without_secrets
from pinery.errors import PineryError


class Terminated(BaseException):
    """SIGTERM arrived."""


STOPPED = {signal.SIGINT: 130, signal.SIGTERM: 143}


def end(work: Callable[[], None], as_json: bool) -> None:
    """Do the work, and exit with the code that the contract says."""
    before = {number: signal.signal(number, _interrupt) for number in STOPPED}
    failure: tuple[str, int] | None = None
    try:
        failure = _attempt(work)
    finally:
        if failure is None or failure[1] not in STOPPED.values():
            for number, handler in before.items():
                signal.signal(number, handler)
    if failure is not None:
        gc.collect()  # before the interpreter ends, or DuckDB's binding lists on stderr what was still alive
        _say(*failure, as_json)


def _attempt(work: Callable[[], None]) -> tuple[str, int] | None:
    """Do the work; return the message for its failure and the exit code, and keep nothing of the failure alive."""
    arrived = _watch_signals()
    try:
        _do(work)
    except (click.ClickException, click.exceptions.Exit):
        raise
    except BrokenPipeError:
        os._exit(1)  # the reader of stdout has gone, so nobody would see a message
    except BaseException as error:  # the last stop: no user sees a stack trace unless asked for
        failure = _describe(error, arrived())
        if failure is None:
            raise
        release(error)
        return failure
    return None


def _do(work: Callable[[], None]) -> None:
    """Do the work; while this function is on the stack, signals raise, and nowhere else."""
    work()


def _describe(error: BaseException, signals: set[int]) -> tuple[str, int] | None:
    """Return the message for an error and the exit code; None where the error is to be raised as it is."""
    again = f"Run the same command again to go on: {without_secrets(shlex.join(['pinery', *sys.argv[1:]]))}"
    # The signals come first: what their handlers raise may be wrapped by the code it was raised in.
    if type(error).__name__ in ("TerminationSignal", "Terminated") or signal.SIGTERM in signals:
        return f"stopped by SIGTERM; what is published stays. {again}", STOPPED[signal.SIGTERM]
    if isinstance(error, KeyboardInterrupt) or signal.SIGINT in signals:
        return f"stopped by SIGINT; what is published stays. {again}", STOPPED[signal.SIGINT]
    if isinstance(error, PineryError):
        text = with_flags(str(error).rstrip())
        if error.exit_code == 1 and error.rerun_helps and "run the same command again" not in text.lower():
            text = f"{text.removesuffix('.')}. {again}"
        return text, error.exit_code
    if isinstance(error, SystemExit) or os.environ.get("PINERY_DEBUG"):
        return None
    message = f"{type(error).__name__}: {error}. This should not happen: set PINERY_DEBUG=1 to see where. {again}"
    return without_secrets(message), 1


def _watch_signals() -> Callable[[], set[int]]:
    """Note each signal that arrives from now on; return a function that returns the signals that came."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

    def arrived() -> set[int]:
        try:
            return set(os.read(reader, 4096))
        except BlockingIOError:
            return set()

    return arrived


def _say(text: str, code: int, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"error": text, "exit_code": code}))
    click.echo(f"pinery: {text}", err=True)
    sys.stdout.flush()
    if code in STOPPED.values():
        # The interpreter waits for requests in flight before it ends; one more signal ends it at once.
        for number in STOPPED:
            signal.signal(number, lambda *_: os._exit(code))
    sys.exit(code)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Interrupt the work, or what it waits for at its end; once it is over, do nothing."""
    while frame is not None:
        if frame.f_code is _do.__code__:
            raise KeyboardInterrupt if number == signal.SIGINT else Terminated
        frame = frame.f_back
