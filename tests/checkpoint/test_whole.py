"""A Parquet file of the state is handed out only once its bytes are found to be what was written."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pinery.checkpoint.store import LocalStore
from pinery.checkpoint.whole import whole
from pinery.errors import DamagedError, TerminalError
from pinery.parquet.files import TableWriter


def test_damage_is_told_to_those_who_read_the_damaged_column(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    table = pa.table({"n": list(range(5000)), "text": [str(n) for n in range(5000)]})
    with TableWriter(path, table.schema, 1000) as writer:
        for batch in table.to_batches():
            writer.append(batch)
    assert whole(LocalStore(tmp_path), path.name) == path
    column = pq.read_metadata(path).row_group(2).column(1)
    data = bytearray(path.read_bytes())
    data[column.data_page_offset + column.total_compressed_size // 2] ^= 8
    path.write_bytes(data)
    with pytest.raises(DamagedError, match=r"part\.parquet is damaged"):
        whole(LocalStore(tmp_path), path.name)
    assert whole(LocalStore(tmp_path), path.name, ["n"]) == path


def test_a_file_that_is_gone_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(TerminalError, match="does not exist") as caught:
        whole(LocalStore(tmp_path), "gone.parquet")
    assert not isinstance(caught.value, DamagedError)
