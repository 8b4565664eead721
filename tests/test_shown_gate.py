"""The gate's judgement on a terminal: the verdict, why, and where the neighbours changed."""

from dataclasses import replace

from flows.cli.shown_gate import gate_lines
from pinery.reports import ChangedQuery, Gate, Neighbour, Precision

OLD = tuple(Neighbour(name, 0.5) for name in ("a.jpg", "b.jpg", "c.jpg", "d.jpg"))
GATE = Gate(
    verdict="fail",
    reasons=("recall@10 is 0.91, below gate.recall 0.95.",),
    queries=1200,
    recall_at_10=0.91,
    jaccard_at_10=0.25,
    rbo=0.3333,
    precision_at_5=Precision(0.71, 0.32, -0.39, -0.42, -0.35),
    changed=(ChangedQuery("[odd].jpg", 0.0, 0.125, OLD, OLD[:1]),),
    seconds=1234.5,
)


def test_a_refusal_says_why_and_shows_what_changed() -> None:
    assert gate_lines(GATE) == [
        "The gate refuses this index; what is live stays live.",
        "  recall@10 is 0.91, below gate.recall 0.95.",
        "recall@10 0.910, Jaccard@10 0.250, RBO 0.333, same-label precision@5 0.710 → 0.320"
        " (-0.390, interval -0.420 to -0.350); 1,200 queries in 1,234.5 s.",
        "The queries whose neighbours changed most, with the nearest of them before and now:",
        "  [odd].jpg: Jaccard@10 0.00, RBO 0.12; a.jpg, b.jpg, c.jpg, … → a.jpg",
    ]


def test_each_verdict_has_its_words() -> None:
    first = {verdict: gate_lines(replace(GATE, verdict=verdict))[0] for verdict in ("pass", "fail", "undecided")}
    assert len(set(first.values())) == 3
    assert "may take the live one's place" in first["pass"]


def test_what_could_not_be_measured_is_left_out() -> None:
    bare = replace(GATE, recall_at_10=None, jaccard_at_10=None, rbo=None, precision_at_5=None, changed=(), queries=0)
    assert gate_lines(bare)[2:] == ["No figures; 0 queries in 1,234.5 s."]
    lost = replace(GATE, changed=(ChangedQuery("q", 0.0, 0.0, (), OLD),))
    assert gate_lines(lost)[-1].endswith("none → a.jpg, b.jpg, c.jpg, …")
