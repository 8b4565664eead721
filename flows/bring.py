"""What `reindex` and `upsert` share: from a plan to a verified index and its report."""

from collections import deque
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import replace
from typing import Any

from prefect.futures import PrefectConcurrentFuture

from pinery.config import MAX_WORKERS
from pinery.records import PartReport, UpsertReport
from pinery.steps.bulk_import import choose_load
from pinery.steps.embed_part import refuse_an_empty_index, refuse_nothing_but_failures
from pinery.steps.lanes import open_lanes
from pinery.steps.make_plan import Plan, PlanOptions, Work, still_to_upsert
from pinery.steps.marks import check_mark
from pinery.steps.report import add_plan
from pinery.steps.run import Run
from pinery.steps.upsert_part import judge_rejected
from tasks.delete_rows import delete_rows
from tasks.embed_part import embed_part
from tasks.ensure_index import ensure_index
from tasks.import_rows import import_rows
from tasks.publish_report import publish_report
from tasks.upsert_part import upsert_part
from tasks.verify import verify

LANES = MAX_WORKERS + 1
"""Threads for tasks, made when they are needed: a part is upserted while others are embedded."""


def bring_index(run: Run, plan: Plan, options: PlanOptions, report: dict[str, Any], go_live: bool) -> dict[str, Any]:
    """Do what the plan says and return the closed report; a verified index may `go_live` in place of another."""
    add_plan(run, report, plan, options.limit)
    ensure_index(run)
    if choose_load(run, plan, options.limit) == "import":
        parts, _ = embed_and_upsert(run, replace(plan, upsert=()), upserting=False)
        import_rows(run, plan)
        _, upserts = embed_and_upsert(run, still_to_upsert(run, plan))
    else:
        parts, upserts = embed_and_upsert(run, plan)
    refuse_nothing_but_failures(run, plan.counts.held)
    judge_rejected(run)
    deletes = options.limit is None and needs_deletes(plan, upserts)
    deleted = delete_rows(run, plan.listing, options.allow_deletes) if deletes else 0
    check_mark(run)
    counts = verify(run, plan.listing, options.limit)
    refuse_an_empty_index(run, counts)
    return publish_report(run, report, parts, upserts, deleted, counts, go_live)


def needs_deletes(plan: Plan, upserts: list[UpsertReport]) -> bool:
    """Whether anything may be in the index that is no live row."""
    before = plan.counts.held + plan.counts.doubtful > 0 and bool(plan.counts.to_delete or plan.embed)
    return before or any(upsert.rejected for upsert in upserts)


def embed_and_upsert(run: Run, plan: Plan, upserting: bool = True) -> tuple[list[PartReport], list[UpsertReport]]:
    """Embed the plan's parts, and upsert each as it appears (unless not `upserting`) beside the plan's upserts."""
    to_embed, to_upsert = deque(plan.embed), deque(plan.upsert)
    parts: list[PartReport] = []
    upserts: list[UpsertReport] = []
    embedding: dict[PrefectConcurrentFuture, Work] = {}
    sending: PrefectConcurrentFuture | None = None
    items = sum(work.rows for work in plan.embed)
    with (
        open_lanes(run, len(plan.embed), items) as lanes,
        run.stage("embed", items),
        run.stage("upsert", items * upserting + sum(work.rows for work in plan.upsert)),
    ):
        try:
            while to_embed or to_upsert or embedding or sending:
                while to_embed and len(embedding) < lanes.count:
                    work = to_embed.popleft()
                    embedding[embed_part.submit(run, work, lanes)] = work
                if sending is None and to_upsert:
                    sending = upsert_part.submit(run, to_upsert.popleft())
                wait_for_one(*embedding, sending)
                for future in [future for future in embedding if future.wrapped_future.done()]:
                    work = embedding.pop(future)
                    parts.append(future.result())
                    if parts[-1].rows and upserting:
                        to_upsert.append(work)
                if sending is not None and sending.wrapped_future.done():
                    upserts.append(sending.result())
                    sending = None
        except BaseException:
            # The lease may be let go of only when nothing is in flight any more.
            run.stop()
            wait([one.wrapped_future for one in (*embedding, sending) if one is not None])
            raise
    return parts, upserts


def wait_for_one(*futures: PrefectConcurrentFuture | None) -> None:
    """Return as soon as one of the futures is done."""
    wait([future.wrapped_future for future in futures if future is not None], return_when=FIRST_COMPLETED)
