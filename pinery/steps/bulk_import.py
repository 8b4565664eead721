"""Fill a new Pinecone namespace by one bulk import, which a later run finds again whatever became of this one."""

import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from pinery.checkpoint.imports import ImportRecord, ImportRecords
from pinery.corpus.outage import retry_through_outage
from pinery.corpus.run import HeldTarget
from pinery.corpus.tables import connect
from pinery.errors import LeaseLostError, StoppedError, TerminalError
from pinery.indexes.pinecone import PineconeIndex
from pinery.indexes.pinecone_import import ImportState, PineconeImports
from pinery.parquet.files import TableWriter
from pinery.planning import loading
from pinery.planning.cost import METADATA_BYTES
from pinery.planning.loading import Load
from pinery.records import LEDGER_SCHEMA
from pinery.steps.compare import list_held
from pinery.steps.export import MANIFEST_ROWS, export_rows, manifest_rows, place_of
from pinery.steps.make_plan import Plan
from pinery.steps.marks import claim_index

FIRST_POLL, LONGEST_POLL = 1.0, 30.0
NOTE_SECONDS = 600.0


def choose_load(held: HeldTarget, plan: Plan, limit: int | None) -> Load:
    """Return how to load the plan's rows; note why, and what both ways take, where an import is wanted or worth it."""
    config, rows = held.target.config, plan.rows
    if not rows or config.upsert.load == "upsert" or config.import_obstacle() is not None or limit is not None:
        return "upsert"
    if config.upsert.load == "auto" and loading.choose_load("auto", rows, None) == "upsert":
        return "upsert"  # so few rows that nothing need be asked
    obstacle = _obstacle(held)
    chosen = loading.choose_load(config.upsert.load, rows, obstacle)
    told = loading.estimate_load(rows, held.target.card.dimension, METADATA_BYTES, config.prices)
    held.run.note(f"loading {told}")
    held.run.note(f"loading by {chosen}{f', because {obstacle}' if obstacle else ''}")
    return chosen


def import_rows(held: HeldTarget, listing: Path) -> int:
    """Export the live rows and import them; return how many the index has then.

    Raises TerminalError where the import is refused or fails; rows that it skipped are left to be upserted.
    """
    claim_index(held)
    records = _records(held)
    record = ImportRecord(held.run.name, place_of(held, held.run.name).uri, _incarnation(held))
    held.check()
    records.write(record)
    rows = export_rows(held, listing, records, record)
    if not rows:
        _close(held, records, replace(record, state="done"))
        return 0
    record = replace(record, rows=rows, state="ready")
    held.check()
    records.write(record)
    try:
        record = replace(record, id=_start(held, _index(held).imports, record))
    except (StoppedError, LeaseLostError):
        raise
    except TerminalError as error:
        raise _given_up(held, records, record, str(error)) from error
    return _finish(held, records, record)


def resume_import(held: HeldTarget) -> int:
    """Wait for an import that an earlier run started, and enter its rows; return how many, 0 where there is none."""
    if not isinstance(held.index, PineconeIndex):
        return 0
    records, entered = _records(held), 0
    open_ones = [record for record in records.all() if record.state not in ("done", "failed")]
    incarnation = _incarnation(held) if open_ones else ""
    for record in open_ones:
        if record.state == "ready" and record.incarnation == incarnation:
            found = None if record.id else retry_through_outage(held, partial(_index(held).imports.find, record.uri))
            if record.id or found:
                held.run.note(
                    f"an earlier run began an import of {record.rows:,} rows from {record.uri}; waiting for it"
                )
                entered += _finish(held, records, replace(record, id=record.id or (found.id if found else None)))
                continue
        # Its export was never finished, it was never started, its rows are entered, or its index is gone.
        _close(held, records, replace(record, state="done"))
    return entered


def _finish(held: HeldTarget, records: ImportRecords, record: ImportRecord) -> int:
    held.check()
    records.write(record)
    with held.run.stage("import", record.rows):
        state = _wait(held, _index(held).imports, record)
    if state.status != "Completed":
        reason = f"{state.status}: {state.error or 'no reason given'}"
        raise _given_up(held, records, record, reason)
    entered = _enter(held, records, record, completed=True)
    held.imported += entered
    held.check()
    records.write(replace(record, state="entered"))
    _close(held, records, replace(record, state="done"))
    return entered


def _given_up(held: HeldTarget, records: ImportRecords, record: ImportRecord, reason: str) -> TerminalError:
    """Record that an import failed and that nothing is known of its rows; return the error to raise."""
    _enter(held, records, record, completed=False)
    _close(held, records, replace(record, state="failed", error=reason))
    named = f"import {record.id} of {record.uri}" if record.id else f"import of {record.uri}"
    return TerminalError(
        f"Pinecone's {named} failed ({reason.rstrip('.')}). The checkpoint is safe; `pinery run` or `pinery upsert`"
        " loads the rows by upserts now"
    )


def _start(held: HeldTarget, imports: PineconeImports, record: ImportRecord) -> str:
    # The start may have taken effect and its answer been lost.
    def start() -> str:
        found = imports.find(record.uri)
        return found.id if found is not None else imports.start(record.uri)

    return retry_through_outage(held, start)


def _wait(held: HeldTarget, imports: PineconeImports, record: ImportRecord) -> ImportState:
    pause, seen, noted = FIRST_POLL, 0, time.monotonic()
    while True:
        state = retry_through_outage(held, partial(imports.state, str(record.id)))
        done = round(state.percent / 100 * record.rows)
        held.run.advance("import", max(0, done - seen))
        seen = max(seen, done)
        if state.is_over:
            return state
        if time.monotonic() - noted > NOTE_SECONDS:
            noted = time.monotonic()
            held.run.note(
                f"import {record.id} is {state.status}, {state.percent:.0f} %; Pinecone's console can cancel it"
            )
        held.run.pause(pause)
        pause = min(pause * 2, LONGEST_POLL)


def _enter(held: HeldTarget, records: ImportRecords, record: ImportRecord, *, completed: bool) -> int:
    """Enter the rows of the import that the index lists in the ledger; all rows of a failed import are in doubt."""
    listed = list_held(held) if completed else None
    path, entered = held.scratch / "imported.parquet", 0
    with held.run.stage("enter"), connect(held.scratch) as con:
        for batch in manifest_rows(con, records.manifest(record), listed).to_arrow_reader(MANIFEST_ROWS):
            with TableWriter(path, LEDGER_SCHEMA) as writer:
                writer.append(batch)
            with held.writing():
                held.ledger.enter_file(path)
            entered += batch.num_rows - batch.column("version").null_count
    return entered


def _close(held: HeldTarget, records: ImportRecords, record: ImportRecord) -> None:
    """Remove the files of an import that is over, and record how it ended."""
    held.check()
    records.remove_files(record, place_of(held, record.name).folder)
    records.write(record)


def _obstacle(held: HeldTarget) -> str | None:
    settings = held.target.config
    incarnation = _incarnation(held)
    if any(record.state == "failed" and record.incarnation == incarnation for record in _records(held).all()):
        return "an earlier import into this namespace failed"
    if settings.upsert.load == "auto" and _index(held).integration_id is None:
        return "index.integration_id is not set"
    return None if retry_through_outage(held, _index(held).imports.possible) else "the namespace exists already"


def _index(held: HeldTarget) -> PineconeIndex:
    index = held.index
    assert isinstance(index, PineconeIndex)
    return index


def _incarnation(held: HeldTarget) -> str:
    found = retry_through_outage(held, held.index.describe)
    return found.incarnation if found else ""


def _records(held: HeldTarget) -> ImportRecords:
    return ImportRecords(held.target.store, held.target.recorded_at)
