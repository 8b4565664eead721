"""Every error that Pinery raises on purpose; its type decides who retries and with which code a command exits."""

from typing import Any

from pinery.addresses import without_secrets


class PineryError(Exception):
    """The base of all errors whose message is for the user: what happened, with which value, and what to do next.

    Addresses in the message are shown without their passwords and queries.
    """

    exit_code = 1
    rerun_helps = True
    """True where the same command may succeed later, once the cause has passed."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(without_secrets(one) if isinstance(one, str) else one for one in args))


class ConfigError(PineryError):
    """The configuration or the command line can't be used as given; nothing was started."""

    exit_code = 2


class BadMetadataError(ConfigError):
    """The metadata of one item can't go into an index, which costs that item; the message is the reason."""


class QueryError(ConfigError):
    """A query can't be answered as it was asked; the fault is the query's, and another one may be answered."""


class UnknownItemError(QueryError):
    """The index has no item of that id."""


class UnknownIndexError(QueryError):
    """The corpus has no index of that name to search."""


class NoTextTowerError(QueryError):
    """The model embeds no texts, so words can't be searched for."""


class BadQueryImageError(QueryError):
    """The image of a query can't be read or decoded, or is too large."""


class BadVectorError(QueryError):
    """A vector can't be searched for: it is of another model or another dimension, or has no direction."""


class BadFilterError(QueryError):
    """The filter on the metadata isn't one that an index takes."""


class NoLiveIndexError(ConfigError):
    """No run has made an index of the corpus live yet, so there is nothing to search."""


class RefusedError(PineryError):
    """A guard or a held lease refused the run before it changed anything."""

    exit_code = 3


class LeaseHeldError(RefusedError):
    """Another live run holds the lease of this corpus and model."""


class NotPassedError(RefusedError):
    """The gate did not pass a candidate that was to be promoted; `result` has what `backfill --json` prints."""

    def __init__(self, index: str, result: dict[str, Any]) -> None:
        gate = result["gate"]
        super().__init__(
            f"the gate's verdict on index {index} is `{gate['verdict']}`, so nothing was promoted:"
            f" {' '.join(gate['reasons'])} The index stays as a candidate, and `pinery promote CONFIG --index"
            f" {index}` with `force` makes it live all the same"
        )
        self.result = result


class IndexMismatchError(ConfigError):
    """The index exists but is not the one to write: it has another dimension, metric, owner or model."""


class TerminalError(PineryError):
    """A retry can't help: the run fails, and what is published stays."""


class AccessDeniedError(TerminalError):
    """Credentials are missing, wrong or not sufficient."""

    rerun_helps = False


class EmptyListingError(TerminalError):
    """The source lists no image at all, which is never right, so that no option allows it."""

    rerun_helps = False

    def __init__(self, corpus: str, left_out: str = "") -> None:
        why = f" ({left_out})" if left_out else ""
        super().__init__(
            f"the source of corpus {corpus} lists no image{why}; nothing was changed. Check the path or prefix in the"
            " config's `source`; `pinery remove` takes a corpus out of its index"
        )


class NothingLiveError(TerminalError):
    """A run got none of its images into the index; the same images would fail again."""

    rerun_helps = False


class DamagedError(TerminalError):
    """A file of the state doesn't hold what was written to it; the message names the file and what to do."""


class ItemDeniedError(AccessDeniedError):
    """Access to one item is denied, or it is archived; others may still be readable."""


class NoRoomError(TerminalError):
    """A disk, a quota or a limit on the size of files is used up."""


class LeaseLostError(TerminalError):
    """This run no longer holds its lease, so it must not write."""


class StoppedError(TerminalError):
    """The run was asked to stop (a signal); published work is kept."""


class DifferentError(TerminalError):
    """An index doesn't hold what it should; `result` has what `verify --json` prints."""

    rerun_helps = False

    def __init__(self, index: str, result: dict[str, Any]) -> None:
        kinds = ("missing", "extra", "stale", "wrong", "wrong_metadata")
        counts = ", ".join(f"{result[kind]:,} {kind}" for kind in kinds if result[kind])
        advice = (
            "rows that could not be repaired are listed in the differences file"
            if result["repaired"]
            else "`repair` upserts and deletes only the difference"
        )
        super().__init__(f"index {index} is not what it should be: {counts}; {advice}")
        self.result = result


class TransientError(PineryError):
    """A fault that a later attempt may not meet: a timeout, a reset, a 5xx.

    `retry_after` is how many seconds the other side asks to wait. `unanswered` says that the request may have taken
    effect, or may yet do so.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, unanswered: bool = False) -> None:
        super().__init__(message)
        self.retry_after, self.unanswered = retry_after, unanswered


class ThrottledError(TransientError):
    """The other side asks for fewer requests a second."""


class ConflictError(PineryError):
    """The file exists already, or is no longer the one that was read: another run wrote it."""


class BadImageError(PineryError):
    """An item's bytes can't be embedded. The message is the reason that the user is shown."""


class MovedError(PineryError):
    """The item vanished or changed since it was listed; the next listing will see it as it is."""


class RequestTooLargeError(PineryError):
    """The index refused a request for its size; halves of it may pass."""


class RowsRefusedError(PineryError):
    """The index refused a request for something in its rows; the message carries the index's own words."""
