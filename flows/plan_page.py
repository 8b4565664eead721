"""The plan of a run among Prefect's artifacts, in Markdown: what is to be done to each target, and what it takes."""

from collections.abc import Mapping

from pinery.corpus.run import HeldTarget
from pinery.reports import estimate_lines
from pinery.steps.make_plan import Plan
from pinery.steps.rates import estimate_plan
from tasks.publish_artifact import artifact_key, publish_artifact

COUNTS = {
    "Added": "new",
    "Changed": "changed",
    "Relabelled": "relabelled",
    "Removed": "deleted",
    "Unchanged": "unchanged",
    "Quarantined": "quarantined",
    "Rejected": "rejected",
}
"""The words of `pinery plan` for the counts of a plan."""


def publish_plan(corpus: str, plans: Mapping[HeldTarget, Plan], limit: int | None = None) -> None:
    """Keep the plan with the flow run that calls this, before anything of it is done."""
    publish_artifact(artifact_key(corpus, "plan"), "markdown", plan_page(corpus, plans, limit), f"plan of {corpus}")


def plan_page(corpus: str, plans: Mapping[HeldTarget, Plan], limit: int | None = None) -> str:
    """Return the page of the plans of all targets of a run."""
    sections = [f"# plan of corpus {corpus}"]
    if limit is not None:
        sections.append(f"Limited to the first {limit:,} items; nothing is deleted, and nothing goes live.")
    for held, plan in plans.items():
        entry = held.target.entry
        rows = [f"| {word} | {getattr(plan.counts, name):,} |" for word, name in COUNTS.items()]
        parts = f"| parts | {len(plan.embed):,} |"
        takes = [f"- {line}" for line in estimate_lines(estimate_plan(held, plan, limit))]
        sections += [f"## index {entry.name} / {entry.namespace}, model {entry.card.name}"]
        sections += ["\n".join(["| items | |", "| --- | --- |", *rows, parts]), "\n".join(takes)]
    return "\n\n".join(filter(None, sections)) + "\n"
