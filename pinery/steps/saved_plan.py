"""A run that is given a saved plan does just that, or refuses before anything is embedded and says what moved."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pinery.corpus.run import HeldTarget, Run
from pinery.errors import ConfigError, RefusedError
from pinery.planning.seal import Seal, SealedListing, SealedTarget, moved, seal_listing
from pinery.steps.make_plan import Plan, PlanOptions
from pinery.steps.seal import Recorded, recorded, seal, sections_of, work_of


def read_plan(plan: str) -> Seal:
    """Return the seal of a saved plan: the path of its file, or JSON text of the plan or of its seal.

    Raises ConfigError where it is none of these.
    """
    text, where = plan, "the plan"
    if not plan.lstrip().startswith("{"):
        where = f"the plan {plan}"
        try:
            text = Path(plan).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"{where} can't be read: {reason}") from None
    try:
        data = json.loads(text)
        return Seal.from_dict(data.get("seal", data))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(f"{where} is not what `pinery plan CONFIG --out FILE` saves; make it anew") from None


class Agreed:
    """What was agreed on for a run before it began: a saved plan, or nothing but the flags."""

    def __init__(self, plan: str | None, options: PlanOptions) -> None:
        """Take the options of the plan, where there is one. Raises ConfigError where others are given beside it."""
        self._seal = None if plan is None else read_plan(plan)
        self._recorded: dict[HeldTarget, Recorded] = {}
        self.options = options
        """The flags that the run goes by."""
        if self._seal is not None:
            self.options = PlanOptions(**self._seal.options)
            if options not in (PlanOptions(), self.options):
                raise ConfigError("`plan` brings its own options: leave out all others, or make the plan anew")

    def look(self, run: Run) -> None:
        """Note what is recorded of the run's targets, before the run itself records anything.

        Raises ConfigError where the plan is one of another corpus.
        """
        if self._seal is None:
            return
        if self._seal.corpus != run.corpus.config.corpus:
            raise ConfigError(f"the plan is of corpus {self._seal.corpus}, and this is {run.corpus.config.corpus}")
        self._recorded = {held: recorded(held.target) for held in run.targets}

    def refuse_moved(self, run: Run, listing: Path, plans: Mapping[HeldTarget, Plan]) -> None:
        """Raise RefusedError where what the run is about to do is not what the saved plan says."""
        if self._seal is None:
            return
        content, ids = self._sealed_listing(run.main, listing, plans[run.main])
        targets = [self._sealed_target(held, plan) for held, plan in plans.items() if held in run.targets]
        found = seal(run.corpus, run.alias, self.options, content, targets)
        reasons = moved(self._seal, found, ids)
        if reasons:
            raise RefusedError(
                f"corpus {run.corpus.config.corpus} is not what it was for plan {self._seal.serial}:"
                f" {'; '.join(reasons)}. Nothing was changed; `pinery plan CONFIG --out FILE` makes a new plan"
            )

    def _sealed_listing(self, held: HeldTarget, listing: Path, plan: Plan) -> tuple[SealedListing, dict[str, str]]:
        options = self.options
        with held.planned(listing, limit=options.limit, retry_quarantined=options.retry_quarantined) as con:
            return seal_listing(con, sections_of(plan.counts), ordered=options.limit is not None)

    def _sealed_target(self, held: HeldTarget, plan: Plan) -> SealedTarget:
        target, before = held.target, self._recorded[held]
        return SealedTarget(target.entry.place, target.card.key, before.checkpoint, before.ledger, work_of(plan.counts))
