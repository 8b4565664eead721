"""Fill a new Pinecone namespace by one bulk import, which a later run finds again whatever became of this one."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

from pinery.checkpoint.imports import ImportRecord, ImportRecords
from pinery.checkpoint.parquet import TableWriter
from pinery.errors import LeaseLostError, StoppedError, TerminalError
from pinery.indexes.pinecone import PineconeIndex
from pinery.indexes.pinecone_import import ImportState, PineconeImports
from pinery.planning import loading
from pinery.planning.cost import METADATA_BYTES
from pinery.planning.loading import Load
from pinery.records import LEDGER_SCHEMA
from pinery.steps.compare import list_held
from pinery.steps.export import MANIFEST_ROWS, export_rows, manifest_rows, place_of
from pinery.steps.make_plan import Plan
from pinery.steps.marks import claim_index
from pinery.steps.run import Run
from pinery.steps.tables import connect
from pinery.steps.upsert_part import outlast

FIRST_POLL, LONGEST_POLL = 1.0, 30.0
TELL_SECONDS = 600.0


def choose_load(run: Run, plan: Plan, limit: int | None) -> Load:
    """How to load the plan's rows; says why, and what both ways take, where an import is wanted or worth it."""
    config = run.corpus.config
    rows = sum(work.rows for work in (*plan.embed, *plan.upsert))
    if not rows or config.upsert.load == "upsert" or config.import_obstacle() is not None or limit is not None:
        return "upsert"
    if config.upsert.load == "auto" and loading.choose_load("auto", rows, None) == "upsert":
        return "upsert"  # so few rows that nothing need be asked
    obstacle = _obstacle(run)
    chosen = loading.choose_load(config.upsert.load, rows, obstacle)
    run.note(f"loading {loading.estimate_load(rows, run.corpus.card.dimension, METADATA_BYTES)}")
    run.note(f"loading by {chosen}{f', because {obstacle}' if obstacle else ''}")
    return chosen


def import_rows(run: Run, plan: Plan) -> int:
    """Export the live rows and import them; return how many the index has then.

    Raises TerminalError where the import is refused or fails; rows that it skipped are left to be upserted.
    """
    claim_index(run)
    records = _records(run)
    record = ImportRecord(run.name, place_of(run, run.name).uri, _incarnation(run))
    run.check()
    records.write(record)
    rows = export_rows(run, plan.listing, records, record)
    if not rows:
        _close(run, records, replace(record, state="done"))
        return 0
    record = replace(record, rows=rows, state="ready")
    run.check()
    records.write(record)
    try:
        record = replace(record, id=_start(run, _index(run).imports, record))
    except (StoppedError, LeaseLostError):
        raise
    except TerminalError as error:
        raise _given_up(run, records, record, str(error)) from error
    return _finish(run, records, record)


def resume_import(run: Run) -> int:
    """Wait for an import that an earlier run started, and enter its rows; return how many, 0 where there is none."""
    if not isinstance(run.corpus.index, PineconeIndex):
        return 0
    records, entered = _records(run), 0
    open_ones = [record for record in records.all() if record.state not in ("done", "failed")]
    incarnation = _incarnation(run) if open_ones else ""
    for record in open_ones:
        if record.state == "ready" and record.incarnation == incarnation:
            found = None if record.id else outlast(run, partial(_index(run).imports.find, record.uri))
            if record.id or found:
                run.note(f"an earlier run began an import of {record.rows:,} rows from {record.uri}; waiting for it")
                entered += _finish(run, records, replace(record, id=record.id or (found.id if found else None)))
                continue
        # Its export was never finished, it was never started, its rows are entered, or its index is gone.
        _close(run, records, replace(record, state="done"))
    return entered


def _finish(run: Run, records: ImportRecords, record: ImportRecord) -> int:
    run.check()
    records.write(record)
    with run.stage("import", record.rows):
        state = _wait(run, _index(run).imports, record)
    if state.status != "Completed":
        reason = f"{state.status}: {state.error or 'no reason given'}"
        raise _given_up(run, records, record, reason)
    entered = _enter(run, records, record, completed=True)
    run.imported += entered
    run.check()
    records.write(replace(record, state="entered"))
    _close(run, records, replace(record, state="done"))
    return entered


def _given_up(run: Run, records: ImportRecords, record: ImportRecord, reason: str) -> TerminalError:
    """Record that an import failed, and that nothing is known of its rows; the error to raise."""
    _enter(run, records, record, completed=False)
    _close(run, records, replace(record, state="failed", error=reason))
    named = f"import {record.id} of {record.uri}" if record.id else f"import of {record.uri}"
    return TerminalError(
        f"Pinecone's {named} failed ({reason.rstrip('.')}). The checkpoint is safe; `pinery run` or `pinery upsert`"
        " loads the rows by upserts now"
    )


def _start(run: Run, imports: PineconeImports, record: ImportRecord) -> str:
    # The start may have taken effect and its answer been lost.
    def start() -> str:
        found = imports.find(record.uri)
        return found.id if found is not None else imports.start(record.uri)

    return outlast(run, start)


def _wait(run: Run, imports: PineconeImports, record: ImportRecord) -> ImportState:
    pause, seen, told = FIRST_POLL, 0, time.monotonic()
    while True:
        state = outlast(run, partial(imports.state, str(record.id)))
        done = round(state.percent / 100 * record.rows)
        run.advance("import", max(0, done - seen))
        seen = max(seen, done)
        if state.is_over:
            return state
        if time.monotonic() - told > TELL_SECONDS:
            told = time.monotonic()
            run.note(f"import {record.id} is {state.status}, {state.percent:.0f} %; Pinecone's console can cancel it")
        run.pause(pause)
        pause = min(pause * 2, LONGEST_POLL)


def _enter(run: Run, records: ImportRecords, record: ImportRecord, *, completed: bool) -> int:
    """Enter in the ledger what the index lists of the import; of a failed one, that nothing is known of its rows."""
    held = list_held(run) if completed else None
    path, entered = run.scratch / "imported.parquet", 0
    with run.stage("enter"), connect(run.scratch) as con:
        for batch in manifest_rows(con, records.manifest(record), held).to_arrow_reader(MANIFEST_ROWS):
            with TableWriter(path, LEDGER_SCHEMA) as writer:
                writer.append(batch)
            run.check()
            run.open_ledger.enter_file(path)
            entered += batch.num_rows - batch.column("version").null_count
    return entered


def _close(run: Run, records: ImportRecords, record: ImportRecord) -> None:
    """Remove the files of an import that is over, and record how it ended."""
    run.check()
    records.remove_files(record, place_of(run, record.name).folder)
    records.write(record)


def _obstacle(run: Run) -> str | None:
    settings = run.corpus.config
    incarnation = _incarnation(run)
    if any(record.state == "failed" and record.incarnation == incarnation for record in _records(run).all()):
        return "an earlier import into this namespace failed"
    if settings.upsert.load == "auto" and _index(run).integration_id is None:
        return "index.integration_id is not set"
    return None if outlast(run, _index(run).imports.possible) else "the namespace exists already"


def _index(run: Run) -> PineconeIndex:
    index = run.corpus.index
    assert isinstance(index, PineconeIndex)
    return index


def _incarnation(run: Run) -> str:
    found = outlast(run, run.corpus.index.describe)
    return found.incarnation if found else ""


def _records(run: Run) -> ImportRecords:
    return ImportRecords(run.corpus.store, run.corpus.index_paths)
