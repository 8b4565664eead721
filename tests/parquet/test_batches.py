"""Batches of Python values are those that PyArrow makes, and need no pandas."""

import subprocess
import sys

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinery.parquet.batches import batch_of

SCHEMA = pa.schema([("id", pa.string()), ("bytes", pa.int64()), ("error", pa.string())])
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
ROWS = st.lists(st.tuples(TEXT, st.integers(-(2**63), 2**63 - 1), TEXT | st.none()), max_size=20)


@given(ROWS)
def test_a_batch_is_what_pyarrow_makes_of_the_same_values(rows: list[tuple[str, int, str | None]]) -> None:
    columns = {name: [row[at] for row in rows] for at, name in enumerate(SCHEMA.names)}
    made = batch_of(columns, SCHEMA)
    made.validate(full=True)
    assert made.equals(pa.RecordBatch.from_pydict(columns, schema=SCHEMA))


def test_a_text_that_no_file_can_hold_is_an_error() -> None:
    with pytest.raises(UnicodeEncodeError):
        batch_of({"id": ["\ud800"], "bytes": [1], "error": [None]}, SCHEMA)


def test_it_imports_no_pandas() -> None:
    code = """
import sys
import pyarrow as pa
from pinery.parquet.batches import batch_of
batch_of({"id": ["a"], "bytes": [1]}, pa.schema([("id", pa.string()), ("bytes", pa.int64())]))
print("pandas" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"
