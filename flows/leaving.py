"""Ends a process: no error keeps anything alive, and nobody waits minutes for an API that has died."""

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator
from types import TracebackType

import click

from pinery.addresses import without_secrets

_asked: list[str] = []


def leave_at_once(why: str) -> None:
    """Have `leaving` end the process for the reason `why`."""
    _asked.append(why)


@contextlib.contextmanager
def leaving() -> Iterator[None]:
    """Pass on the end of the command inside or, if `leave_at_once` was called, end the process with its exit code."""
    sys.excepthook = _print_without_secrets
    code: str | int | None = 0
    ended: BaseException | None = None
    try:
        yield
    except (SystemExit, click.exceptions.Exit) as error:
        ended = error
        code = error.code if isinstance(error, SystemExit) else error.exit_code
    if _asked:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))
    if ended is not None:
        raise ended


def release(error: BaseException) -> None:
    """Let go of what the frames that an error came through hold, those of its causes included."""
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        traceback.clear_frames(one.__traceback__)
        one.__traceback__ = None
        waiting += [linked for linked in (one.__cause__, one.__context__) if linked is not None]


def _print_without_secrets(kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
    sys.stderr.write(without_secrets("".join(traceback.format_exception(kind, error, at))))
