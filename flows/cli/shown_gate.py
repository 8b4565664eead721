"""The judgement of a candidate as lines of a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from pinery.reports import Gate, Neighbour

SHOWN_NEIGHBOURS = 3
VERDICTS = {
    "pass": "The gate is passed: this index may take the live one's place.",
    "fail": "The gate refuses this index; what is live stays live.",
    "undecided": "The gate could not decide; what is live stays live.",
}


def gate_lines(gate: Gate) -> list[str]:
    """Return the verdict with its reasons, the figures, and the queries whose neighbours changed most."""
    lines = [VERDICTS[gate.verdict], *(f"  {reason}" for reason in gate.reasons), _figures(gate)]
    if gate.changed:
        lines.append("The queries whose neighbours changed most, with the nearest of them before and now:")
        lines += [
            f"  {one.id}: Jaccard@10 {one.jaccard:.2f}, RBO {one.rbo:.2f}; {_nearest(one.old)} → {_nearest(one.new)}"
            for one in gate.changed
        ]
    return lines


def _figures(gate: Gate) -> str:
    named = {"recall@10": gate.recall_at_10, "Jaccard@10": gate.jaccard_at_10, "RBO": gate.rbo}
    figures = [f"{name} {value:.3f}" for name, value in named.items() if value is not None]
    if (found := gate.precision_at_5) is not None:
        figures.append(
            f"same-label precision@5 {found.old:.3f} → {found.new:.3f}"
            f" ({found.difference:+.3f}, interval {found.low:+.3f} to {found.high:+.3f})"
        )
    return f"{', '.join(figures) or 'No figures'}; {gate.queries:,} queries in {gate.seconds:,.1f} s."


def _nearest(found: Sequence[Neighbour]) -> str:
    more = ", …" if len(found) > SHOWN_NEIGHBOURS else ""
    return ", ".join(one.id for one in found[:SHOWN_NEIGHBOURS]) + more if found else "none"
