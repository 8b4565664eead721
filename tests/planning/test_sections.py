"""The first ids of each section, and how much there is to write, over tables of a few rows."""

from pinery.planning.estimate import Amount
from pinery.planning.plan import count_plan, define_plan
from pinery.planning.sections import amount_of, first_ids
from tests.planning.tables import LABEL, tables

OTHER = '{"label":"bb"}'
LISTING = [
    *(f"n{number}" for number in range(7)),
    ("changed", "v2"),
    ("labelled", "v1", OTHER),
    "same",
    ("bad", "v1"),
    ("unfit", "v1", "{}", "file:///a", "infinity"),
]
CHECKPOINT = [("0", "labelled"), ("0", "same"), ("0", "bad", "v1", "truncated"), ("0", "n0"), ("0", "gone")]
LEDGER = [("changed",), ("labelled",), ("same",), ("gone",)]


def test_each_section_names_its_first_ids_in_the_order_of_the_listing() -> None:
    with tables(LISTING, CHECKPOINT, LEDGER) as con:
        define_plan(con, limit=None, retry_quarantined=False)
        assert first_ids(con) == {
            "new": ("n0", "n1", "n2", "n3", "n4"),
            "changed": ("changed",),
            "relabelled": ("labelled",),
            "unchanged": ("same",),
            "quarantined": ("bad",),
            "rejected": ("unfit",),
            "removed": ("gone",),
        }


def test_what_is_written_is_counted_in_rows_and_bytes() -> None:
    with tables(LISTING, CHECKPOINT, LEDGER) as con:
        define_plan(con, limit=None, retry_quarantined=False)
        amount = amount_of(con, count_plan(con))
    written = [*((f"n{number}", LABEL) for number in range(7)), ("changed", LABEL), ("labelled", OTHER)]
    ids, metadata = sum(len(id) for id, _ in written), sum(len(text) for _, text in written)
    assert amount == Amount(
        images=8,  # n1 to n6 and changed; what no index takes is embedded too
        rows=9,
        overwritten=2,
        deleted=1,
        id_bytes=ids,
        metadata_bytes=metadata,
        stored=10,
        stored_bytes=ids + metadata + len("same") + len(LABEL),
    )


def test_nothing_to_do_is_no_bytes() -> None:
    with tables() as con:
        define_plan(con, limit=None, retry_quarantined=False)
        assert amount_of(con, count_plan(con)) == Amount(0, 0, 0, 0, 0, 0, 0, 0)
