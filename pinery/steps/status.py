"""What the state says of a corpus: last run, live index, and the rows that are not in it, with reasons."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import duckdb

from pinery.checkpoint.lease import read_holder
from pinery.checkpoint.ledger import Ledger
from pinery.checkpoint.parts import Checkpoint
from pinery.checkpoint.root import state_id
from pinery.planning.plan import define_plan
from pinery.steps.corpus import Corpus
from pinery.steps.live import retired
from pinery.steps.marks import read_recorded
from pinery.steps.stored import current_listing, last_report, undisturbed
from pinery.steps.tables import connect, define_tables

NOTHING_LEFT = {"embed": 0, "upsert": 0, "delete": 0}
"""What the next run has to do with the current listing: items to embed, rows to upsert and to delete."""
NO_ROWS: dict[str, Any] = {"held": 0, "awaited": 0, "quarantined": [], "rejected": [], "left": NOTHING_LEFT}


def status(corpus: Corpus) -> dict[str, Any]:
    """The state of a corpus; loads no model, reaches no index. `quarantined` and `rejected` are lists of rows.

    `left` counts what the next run has to do with the current listing.
    """
    card = None if state_id(corpus.store, create=False) is None else corpus.stored_card()
    if card is None:
        return {"corpus": corpus.config.corpus, "state": corpus.store.root, "last_run": None, "live": None,
                "retired": [], "running": None, "parts": 0} | NO_ROWS  # fmt: skip
    alias, _ = corpus.alias()
    holder = read_holder(corpus.store, corpus.paths.lease(card.key))
    report = last_report(corpus)
    running = holder.run if holder else None
    if report and report["state"] == "running" and report["run"] != running:
        report["state"] = "died"
    checkpoint = Checkpoint(corpus.store, corpus.paths.parts(card.key))
    result: dict[str, Any] = {
        "corpus": corpus.config.corpus,
        "state": corpus.store.root,
        "model": card.name,
        "model_key": card.key,
        "live": None if alias.live is None else {"kind": alias.live.kind, "index": alias.live.name,
                                                 "namespace": alias.live.namespace},
        "retired": retired(corpus),
        "running": running,
        "last_run": report,
        "parts": len(checkpoint.names()),
    }  # fmt: skip
    return result | undisturbed(lambda: _rows(corpus, checkpoint))


def _rows(corpus: Corpus, checkpoint: Checkpoint) -> dict[str, Any]:
    if corpus.current_listing() is None:
        return NO_ROWS
    recorded = read_recorded(corpus)
    ledger = Ledger(corpus.store, corpus.index_paths, 0, recorded.first_epoch) if recorded else None
    scratch = Path(tempfile.mkdtemp(prefix="pinery-status-"))
    try:
        with connect(scratch) as con:
            define_tables(con, current_listing(corpus), checkpoint, ledger)
            define_plan(con, limit=None, retry_quarantined=False)
            [(held, awaited)] = con.execute("""
                SELECT (SELECT count(*) FROM ledger), (SELECT count(*) FROM state WHERE part IS NULL)
            """).fetchall()
            bad = con.sql(
                "SELECT id, uri, error AS reason FROM desired WHERE error IS NOT NULL ORDER BY position"
            ).to_arrow_table()
            refused = con.sql("""
                SELECT d.id, d.uri, coalesce(any_value(d.unfit), any_value(r.reason)) AS reason
                FROM state s JOIN desired d USING (position) LEFT JOIN rejected r
                     ON r.id = s.id AND r.version = s.version AND r.metadata_hash = s.metadata_hash
                WHERE s.refused GROUP BY d.id, d.uri ORDER BY d.id
            """).to_arrow_table()
            left = {name: _count(con, f"to_{name}") for name in NOTHING_LEFT}
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    rows = {"quarantined": bad.to_pylist(), "rejected": refused.to_pylist()}
    return {"held": held, "awaited": awaited, "left": left} | rows


def _count(con: duckdb.DuckDBPyConnection, rows: str) -> int:
    [(count,)] = con.execute(f"SELECT count(*) FROM {rows}").fetchall()
    return int(count)
