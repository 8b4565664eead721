"""A corpus as its state has it: what is live and kept, the last runs, and the rows that are not in the index."""

from dataclasses import replace
from functools import partial
from typing import Any

from pinery.checkpoint.alias import IndexEntry
from pinery.checkpoint.lease import read_holder
from pinery.corpus.corpus import Corpus
from pinery.corpus.live import retired
from pinery.corpus.stored import current_listing, planned_as_recorded, undisturbed
from pinery.errors import RefusedError
from pinery.planning.plan import count_rows
from pinery.reports import Status, TargetStatus
from pinery.steps.history import history, last_run

LEFT = ("embed", "upsert", "delete")
SHOWN_RUNS = 5
SHOWN_CHANGES = 10
READ_RUNS = 12
"""The newest runs that are read, so that the shown ones have some before them to be compared with."""


def status(corpus: Corpus) -> Status:
    """Return the state of a corpus; loads no model, reaches no index."""
    known = Status(corpus.config.corpus, corpus.store.root)
    alias, card = corpus.alias()[0], corpus.known_card()
    main = alias.live or (corpus.named_with(card) if card else None)
    if main is None:
        return known
    holder = read_holder(corpus.store, corpus.paths.lease(main.card.key))
    known = replace(
        known,
        model=main.card.name,
        model_key=main.card.key,
        live=alias.live.names() if alias.live else None,
        generation=alias.generation,
        kept=tuple(one.names() | {"until": one.until} for one in alias.kept),
        candidates=tuple(one.names() | {"gate": one.gate or "not judged yet"} for one in alias.candidates),
        retired=tuple(retired(corpus)),
        history=tuple(alias.history[-SHOWN_CHANGES:]),
        remark=_remark(corpus),
        running=holder.run if holder else None,
        last_run=last_run(corpus.config),
        runs=history(corpus.config, most=READ_RUNS).runs[:SHOWN_RUNS],
        parts=len(corpus.open_target(main).checkpoint.names()),
    )
    if corpus.current_listing() is None:
        return known
    first, rows = undisturbed(lambda: _rows(corpus, "live" if alias.live else "config", main))
    kept = [undisturbed(partial(_target, corpus, "kept", one)) for one in alias.kept]
    candidates = [undisturbed(partial(_target, corpus, "candidate", one)) for one in alias.candidates]
    return replace(known, **rows, targets=(first, *kept, *candidates))


def _remark(corpus: Corpus) -> str:
    """Return what a run would say of the config's model where it isn't the live one, or why it would be refused."""
    try:
        found = corpus.serve_known()
    except RefusedError as error:
        return str(error)
    return found.note if found else ""


def _target(corpus: Corpus, role: str, entry: IndexEntry) -> TargetStatus:
    return _rows(corpus, role, entry)[0]


def _rows(corpus: Corpus, role: str, entry: IndexEntry) -> tuple[TargetStatus, dict[str, Any]]:
    """Return a target's row, and the fields of `Status` that are counted in rows, were it the live one."""
    target = corpus.open_target(entry)
    with planned_as_recorded(target, current_listing(corpus), target.recorded_ledger()) as con:
        bad = con.sql("SELECT id, uri, error AS reason FROM desired WHERE error IS NOT NULL ORDER BY position")
        refused = con.sql("""
            SELECT d.id, d.uri, coalesce(any_value(d.unfit), any_value(r.reason)) AS reason
            FROM items i JOIN desired d USING (position) LEFT JOIN rejected r
                 ON r.id = i.id AND r.version = i.version AND r.metadata_hash = i.metadata_hash
            WHERE i.refused GROUP BY d.id, d.uri ORDER BY d.id
        """)
        left = {name: count_rows(con, f"to_{name}") for name in LEFT}
        held = count_rows(con, "ledger")
        vectors = count_rows(con, "winner WHERE error IS NULL")
        fields = {
            "held": held,
            "awaited": count_rows(con, "items WHERE part IS NULL"),
            "quarantined": tuple(bad.to_arrow_table().to_pylist()),
            "rejected": tuple(refused.to_arrow_table().to_pylist()),
            "left": left,
        }
    row = TargetStatus(role, entry.name, entry.namespace, entry.card.name, entry.card.key, held, vectors, left)
    return row, fields
