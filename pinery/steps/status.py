"""A corpus as its state has it: last run, live index, and the rows that are not in it, with reasons."""

from dataclasses import replace
from typing import Any

from pinery.checkpoint.lease import read_holder
from pinery.corpus.corpus import Corpus
from pinery.corpus.live import retired
from pinery.corpus.stored import current_listing, last_report, planned_as_recorded, undisturbed
from pinery.planning.plan import count_rows
from pinery.reports import Status

LEFT = ("embed", "upsert", "delete")


def status(corpus: Corpus) -> Status:
    """Return the state of a corpus; loads no model, reaches no index."""
    known = Status(corpus.config.corpus, corpus.store.root)
    if corpus.known_card() is None:
        return known
    target, live = corpus.target, corpus.alias()[0].live
    holder = read_holder(corpus.store, corpus.paths.lease(target.card.key))
    running = holder.run if holder else None
    report = last_report(corpus)
    if report and report.state == "running" and report.run != running:
        report = replace(report, state="died")
    known = replace(
        known,
        model=target.card.name,
        model_key=target.card.key,
        live={"kind": live.kind, "index": live.name, "namespace": live.namespace} if live else None,
        retired=tuple(retired(corpus)),
        running=running,
        last_run=report,
        parts=len(target.checkpoint.names()),
    )
    return known if corpus.current_listing() is None else replace(known, **undisturbed(lambda: _rows(corpus)))


def _rows(corpus: Corpus) -> dict[str, Any]:
    """Return the fields of `Status` that are counted in rows."""
    target = corpus.target
    with planned_as_recorded(target, current_listing(corpus), target.recorded_ledger()) as con:
        bad = con.sql("SELECT id, uri, error AS reason FROM desired WHERE error IS NOT NULL ORDER BY position")
        refused = con.sql("""
            SELECT d.id, d.uri, coalesce(any_value(d.unfit), any_value(r.reason)) AS reason
            FROM items i JOIN desired d USING (position) LEFT JOIN rejected r
                 ON r.id = i.id AND r.version = i.version AND r.metadata_hash = i.metadata_hash
            WHERE i.refused GROUP BY d.id, d.uri ORDER BY d.id
        """)
        return {
            "held": count_rows(con, "ledger"),
            "awaited": count_rows(con, "items WHERE part IS NULL"),
            "quarantined": tuple(bad.to_arrow_table().to_pylist()),
            "rejected": tuple(refused.to_arrow_table().to_pylist()),
            "left": {name: count_rows(con, f"to_{name}") for name in LEFT},
        }
