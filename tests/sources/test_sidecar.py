"""Sidecars: which files can be read, what their values become, and which items their rows are for."""

import datetime
import json
import math
import re
import unicodedata
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from pinery.config_file import load_config
from pinery.errors import ConfigError
from pinery.source_kinds import FolderSource, S3Source
from pinery.sources.found import Found
from pinery.sources.metadata import Describer, clean
from pinery.sources.sidecar import NAMES_AT_ONCE, Names, Sidecar
from tests.s3_server import S3Server


def sidecar(folder: Path, text: str | bytes, types: dict[str, Any] | None = None, name: str = "s.csv") -> Sidecar:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Sidecar(path, types)


def row(sidecar: Sidecar, id: str) -> dict[str, Any]:
    """The metadata of the item with that name, if there is a row for it."""
    [found] = sidecar.find([Names((id,), ())])
    return found or {}


def described(describe: Describer, key: str, known: dict[str, Any] | None = None, uri: str = "") -> tuple[str, str]:
    """The id and the metadata of an item."""
    [item] = describe.items([Found(key, uri, "v1", 1, known)])
    return item.id, item.metadata


def values(folder: Path, *column: str, types: dict[str, Any] | None = None) -> list[Any]:
    """Return the values that a sidecar reads from one column."""
    quoted = [value.replace('"', '""') for value in column]
    text = "id,x\n" + "".join(f'{row},"{value}"\n' for row, value in enumerate(quoted))
    found = sidecar(folder, text, types)
    return [row(found, str(number))["x"] for number in range(len(column))]


def test_a_csv_sidecar_is_joined_by_id(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("id,label,width,when,code\n007,cat,3,2024-01-02,NA\nb.jpg,,,,\n")
    sidecar = Sidecar(path)
    assert row(sidecar, "007") == {"label": "cat", "width": 3, "when": "2024-01-02", "code": "NA"}
    assert clean(row(sidecar, "b.jpg")) == "{}"
    assert row(sidecar, "c.jpg") == {}


def test_a_parquet_sidecar_keeps_its_types(tmp_path: Path) -> None:
    table = pa.table({"id": [1, 2], "tags": [["a", "b"], None], "score": [0.5, math.nan], "on": [True, None]})
    parquet.write_table(table, tmp_path / "x.parquet")
    sidecar = Sidecar(tmp_path / "x.parquet")
    assert clean(row(sidecar, "1")) == '{"on":true,"score":0.5,"tags":["a","b"]}'
    assert clean(row(sidecar, "2")) == "{}"


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("a.csv", "name,label\nx,y\n", "no column `id`; it has: name, label"),
        ("a.csv", "id,label\nx,y\nx,z\n", "the id 'x' more than once"),
        ("a.csv", "id,label\nx,y\n,z\n", "without an id: row 2"),
        ("a.csv", "id,label\nx,y,z\n", "can't be read"),
        ("a.parquet", "no parquet", "can't be read"),
        ("a.json", "{}", "neither a .csv nor a .parquet"),
        ("a.csv", None, "does not exist"),
    ],
)
def test_an_unusable_sidecar_is_refused(tmp_path: Path, name: str, text: str | None, complaint: str) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=f"{re.escape(str(path))}.*{re.escape(complaint)}"):
        Sidecar(path)


@pytest.mark.parametrize(
    ("column", "read"),
    [
        (["7", "-8", "0"], [7, -8, 0]),
        (["7", "0.5"], [7.0, 0.5]),
        (["1e-05", "3.0"], [1e-05, 3.0]),
        (["01234", "90210"], ["01234", "90210"]),
        (["+4912345", "1"], ["+4912345", "1"]),
        (["-0", "1"], ["-0", "1"]),
        (["1e3", "1"], ["1e3", "1"]),
        (["1.10", "1.9"], ["1.10", "1.9"]),
        ([" 7", "8"], [" 7", "8"]),
        (["1_000", "8"], ["1_000", "8"]),
        (["9007199254740992", "1"], [2**53, 1]),
        (["9007199254740993", "1"], ["9007199254740993", "1"]),
        (["12345678901234567890123"], ["12345678901234567890123"]),
        (["1e400", "1"], ["1e400", "1"]),
        (["7", "unknown"], ["7", "unknown"]),
        (["true", "False"], [True, False]),
        (["true", "no"], ["true", "no"]),
        (["true", "1"], ["true", "1"]),
        (["7", "NA", "N/A", "NaN", "None", "null", ""], [7, *[None] * 6]),
        (["true", "NA"], [True, None]),
        (["NA", "null", "None", ""], ["NA", "null", "None", None]),
        (["NA", "DE"], ["NA", "DE"]),
        (["inf", "0.5"], [math.inf, 0.5]),
        (["inf", "cat"], ["inf", "cat"]),
        (["2024-01-02"], ["2024-01-02"]),
    ],
)
def test_values_stay_what_is_written(tmp_path: Path, column: list[str], read: list[Any]) -> None:
    found = values(tmp_path, *column)
    assert found == read
    assert list(map(type, found)) == list(map(type, read))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False).map(repr) | st.integers().map(str), min_size=1))
def test_a_column_of_numbers_is_numeric_only_if_each_prints_as_it_is_written(
    tmp_path_factory: pytest.TempPathFactory, column: list[str]
) -> None:
    found = values(tmp_path_factory.mktemp("sidecar"), *column)
    if any(isinstance(value, str) for value in found):
        assert found == column
        assert any(value.lstrip("-").isdigit() and abs(int(value)) > 2**53 for value in column)
    else:
        assert [float(value) for value in found] == [float(value) for value in column]


def test_one_text_after_many_numbers_decides_for_all_of_them(tmp_path: Path) -> None:
    found = sidecar(tmp_path, "id,size\n" + "".join(f"i{n},{n}\n" for n in range(50_000)) + "z,unknown\n")
    assert row(found, "z") == {"size": "unknown"}
    assert row(found, "i7") == {"size": "7"}


@pytest.mark.parametrize(
    ("kind", "column", "read"),
    [
        ("text", ["7", "NA", ""], ["7", "NA", None]),
        ("number", ["007", "1.50", "NA", ""], [7, 1.5, None, None]),
        ("boolean", ["yes", "0", "True", ""], [True, False, True, None]),
        ("list", ["a|b", "a; b", '["a", 1]', ""], [["a", "b"], ["a", "b"], ["a", "1"], None]),
    ],
)
def test_a_type_can_be_wanted(tmp_path: Path, kind: str, column: list[str], read: list[Any]) -> None:
    assert values(tmp_path, *column, types={"x": kind}) == read


@pytest.mark.parametrize(
    ("kind", "value"), [("number", "cat"), ("number", "1_000"), ("boolean", "perhaps"), ("list", "[1")]
)
def test_a_value_that_is_not_of_the_wanted_type_is_named(tmp_path: Path, kind: str, value: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"line 2\), column 'x': '{re.escape(value)}' is not what `source.sidecar_types"
    ):
        values(tmp_path, value, types={"x": kind})


def test_a_wanted_type_needs_its_column_and_a_sidecar(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no column 'zpi', which `source\.sidecar_types` names; it has: id, x"):
        values(tmp_path, "1", types={"zpi": "text"})
    config = {"corpus": "c", "source": {"kind": "folder", "path": "/images"}, "model": "descriptor", "state": "/state"}
    with pytest.raises(ConfigError, match="there is no `sidecar`"):
        load_config(config, ["source.sidecar_types={zip: text}"])
    with pytest.raises(ConfigError, match=r"sidecar_types\.zip: input should be 'text', 'number'"):
        load_config(config, ["source.sidecar=/s.csv", "source.sidecar_types={zip: words}"])


def test_quoted_line_breaks_in_a_large_file_are_read(tmp_path: Path) -> None:
    text = "id,caption\n" + "".join(f'{n}.jpg,"line one\nof {n}, {"x" * 200}"\n' for n in range(8000))
    assert len(text) > 1 << 20
    found = sidecar(tmp_path, text)
    assert found.rows == 8000
    assert row(found, "7999.jpg")["caption"].startswith("line one\nof 7999, xxx")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("id;label;size\na.jpg;cat, small;7\n", "s.csv"),
        ("id\tlabel\tsize\na.jpg\tcat, small\t7\n", "s.tsv"),
        ("id|label|size\na.jpg|cat, small|7\n", "s.csv"),
        ('\ufeffid, label ,size\r\na.jpg,"cat, small",7\r\n', "s.csv"),
        ('id,label,size,\na.jpg,"cat, small",7,\n', "s.csv"),
        ('id,label,size,\na.jpg,"cat, small",7\n', "s.csv"),
        ('id,label,size\na.jpg,"cat, small",7,\n', "s.csv"),
        (',id,label,size\n0,a.jpg,"cat, small",7\n', "s.csv"),
        ('label,id,size\n\n"cat, small",a.jpg,7', "s.csv"),
    ],
)
def test_the_ways_that_programs_write_tables_are_read(tmp_path: Path, text: str, name: str) -> None:
    assert row(sidecar(tmp_path, text, name=name), "a.jpg") == {"label": "cat, small", "size": 7}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"id,label,label\na.jpg,x,y\n", "the column 'label' more than once"),
        (b"id,gr\xf6\xdfe\na.jpg,1\n", "line 1, column 'größe' has the byte 0xF6, which is 'ö' in Latin-1"),
        (b"id,label\nb.jpg,x\na.jpg,caf\xe9\n", "not in UTF-8: line 3, column 'label' has the byte 0xE9"),
        ("id,label\na.jpg,x\n".encode("utf-16"), "in UTF-16; save it as UTF-8"),
        (b'id,label\na.jpg,"x\nb.jpg,y\n', "line 2: a quoted value is never closed; is the file whole?"),
        (b"id,label\na.jpg,x\nb.j", "line 3 has 1 values, and the header 2 columns; is the file whole"),
        (b"", "no column `id`; it has: none"),
        (b"ID,label\na.jpg,x\n", "no column `id`; it has: ID, label"),
        (b"name;label\na.jpg;x\n", "no column `id`; it has: name, label"),
    ],
)  # fmt: skip
def test_what_can_not_be_read_is_one_error_that_says_where(tmp_path: Path, text: bytes, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        sidecar(tmp_path, text)
    assert complaint in str(caught.value)


def written(folder: Path, columns: dict[str, Any], name: str = "s.parquet") -> Sidecar:
    parquet.write_table(pa.table(columns), folder / name)
    return Sidecar(folder / name)


def test_parquet_columns_are_what_their_types_say(tmp_path: Path) -> None:
    found = written(
        tmp_path,
        {
            "id": ["a"],
            "zip": ["01234"],
            "price": [Decimal("1.50")],
            "tweet": pa.array([2**53 + 1], pa.int64()),
            "fine": [Decimal("12345678901234567890.12")],
            "day": [datetime.date(2024, 2, 29)],
            "prices": [[Decimal("1.5")]],
            "kind": pa.array(["cat"]).dictionary_encode(),
            "__index_level_0__": [0],
        },
    )
    assert row(found, "a") == {
        "zip": "01234", "price": 1.5, "tweet": "9007199254740993", "fine": "12345678901234567890.12",
        "day": "2024-02-29", "prices": ["1.5"], "kind": "cat",
    }  # fmt: skip


def test_the_folder_of_a_parquet_file_tells_nothing_of_its_rows(tmp_path: Path) -> None:
    (tmp_path / "label=cats").mkdir()
    assert row(written(tmp_path / "label=cats", {"id": ["a"], "x": ["1"]}), "a") == {"x": "1"}


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"id": [["a.jpg"]], "l": ["x"]}, "column 'id' is list<element: string>; ids are text or whole numbers"),
        ({"id": [0.5], "l": ["x"]}, "column 'id' is double; ids are"),
        ({"id": ["a"], "box": [{"x": 1}]}, "column 'box' is struct<x: int64>; an index takes"),
        ({"id": ["a"], "raw": [b"x"]}, "column 'raw' is binary; an index takes"),
    ],
)
def test_parquet_columns_that_can_not_be_metadata_are_named(
    tmp_path: Path, columns: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        written(tmp_path, columns)


def joined(folder: Path, rows: list[str], key: str, prefix: str = "", **settings: Any) -> str | None:
    """The name of the row that the item with `key` is given."""
    text = "id,row\n" + "".join('"{}",r{}\n'.format(row.replace('"', '""'), at) for at, row in enumerate(rows))
    (folder / "s.csv").write_text(text)
    settings = {"kind": "folder", "path": "/images", "sidecar": str(folder / "s.csv")} | settings
    found = json.loads(described(Describer(FolderSource.model_validate(settings), prefix), key)[1]).get("row")
    return None if found is None else rows[int(found[1:])]


COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "caf\u00e9.jpg") for form in ("NFC", "NFD"))


@pytest.mark.parametrize("ids", ["key", "md5-path"])
@pytest.mark.parametrize(
    ("row", "key"),
    [
        (COMPOSED, COMPOSED),
        (COMPOSED, DECOMPOSED),
        (DECOMPOSED, COMPOSED),
        ("caf%C3%A9.jpg", COMPOSED),
        ("100%.jpg", "100%.jpg"),
        ("100%25.jpg", "100%.jpg"),
        ("my%20cat.jpg", "my cat.jpg"),
        ("sub\\c.jpg", "sub/c.jpg"),
        (".\\sub\\c.jpg", "sub/c.jpg"),
        ("./d.jpg", "d.jpg"),
        ("/sub//c.jpg", "sub/c.jpg"),
        ("a\\b.jpg", "a\\b.jpg"),
        ("caf%E9.jpg", "caf\udce9.jpg"),
        ("CIFAR10.7", "CIFAR10.7"),
    ],
)
def test_a_row_is_for_the_item_that_it_plainly_names(tmp_path: Path, row: str, key: str, ids: str) -> None:
    assert joined(tmp_path, ["other.jpg", row], key, ids=ids) == row


def test_a_row_may_name_an_id_or_the_whole_key_of_an_object(tmp_path: Path) -> None:
    assert joined(tmp_path, ["900150983cd24fb0d6963f7d28e17f72"], "abc", ids="md5-path")
    assert joined(tmp_path, ["photos/cat/1.jpg"], "cat/1.jpg", prefix="photos/") == "photos/cat/1.jpg"
    assert joined(tmp_path, ["cat/1.jpg", "photos/cat/1.jpg"], "cat/1.jpg", prefix="photos/") == "cat/1.jpg"


def test_the_name_as_it_is_goes_before_what_it_might_mean(tmp_path: Path) -> None:
    assert joined(tmp_path, ["100%.jpg", "100%25.jpg"], "100%.jpg") == "100%.jpg"
    assert joined(tmp_path, ["100%.jpg", "100%25.jpg"], "100%25.jpg") == "100%25.jpg"
    assert joined(tmp_path, [COMPOSED, DECOMPOSED], DECOMPOSED) == DECOMPOSED
    assert joined(tmp_path, ["a/b.jpg", "a\\b.jpg"], "a\\b.jpg") == "a\\b.jpg"


def test_rows_are_joined_in_the_order_of_the_items(tmp_path: Path) -> None:
    count = 2 * NAMES_AT_ONCE + 7
    found = sidecar(tmp_path, "id,x\n" + "".join(f"./{number}.jpg,{number}\n" for number in range(0, count, 2)))
    asked = [Names((name,), (name,)) for name in (f"{number}.jpg" for number in reversed(range(count)))]
    joined = [None if number % 2 else {"x": number} for number in reversed(range(count))]
    assert list(found.find(asked)) == joined
    assert found.matched == found.rows


def test_two_rows_that_name_one_item_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"two rows for the item 'd\.jpg'"):
        joined(tmp_path, ["./d.jpg", "/d.jpg"], "d.jpg")


def test_rows_and_patterns_that_match_nothing_are_told(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("id,x\na.jpg,1\nb.jpg,2\nc.jpg,3\nd.jpg,4\ne.jpg,5\n")
    settings = {"kind": "folder", "path": "/images", "sidecar": str(tmp_path / "s.csv"), "metadata": "^(?P<no>[0-9]+)-"}
    describe = Describer(FolderSource.model_validate(settings))
    for _ in range(2):  # each listing counts anew
        describe.begin()
        for name in ("a.jpg", "x.jpg"):
            described(describe, name)
        pattern, rows = describe.remarks()
        assert pattern == "the regex in `source.metadata` matches none of the 2 items"
        assert rows.endswith("s.csv: 4 of its 5 rows match no item: 'b.jpg', 'c.jpg', 'd.jpg', …")
    describe.begin()
    for number in range(200):
        described(describe, f"{'7-' if number == 0 else ''}x{number}.jpg")
    pattern, few, _ = describe.remarks()
    assert pattern == "the regex in `source.metadata` matches 1 of the 200 items"
    assert few.endswith("s.csv has rows for none of the 200 items")


def test_a_sidecar_that_fits_is_not_told_of(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("id,x\na.jpg,1\n")
    describe = Describer(FolderSource(kind="folder", path="/images", sidecar=str(tmp_path / "s.csv")))
    describe.begin()
    described(describe, "a.jpg")
    assert describe.remarks() == []


def test_a_sidecar_that_is_only_a_header_matches_nothing(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("id,x\n")
    describe = Describer(FolderSource(kind="folder", path="/images", sidecar=str(tmp_path / "s.csv")))
    describe.begin()
    assert described(describe, "a.jpg") == ("a.jpg", "{}")
    assert describe.remarks() == [f"sidecar {tmp_path}/s.csv has rows for none of the 1 items"]


def test_a_sidecar_may_lie_on_s3(s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket()
    s3_server.client().put_object(Bucket=bucket, Key="meta/labels.csv", Body=b"id,label\na.jpg,cat\n")

    def describe(uri: str) -> tuple[str, str]:
        settings = S3Source(kind="s3", uri=f"s3://{bucket}/photos", endpoint_url=s3_server.endpoint_url, sidecar=uri)
        return described(Describer(settings, "photos/"), "a.jpg")

    assert describe(f"s3://{bucket}/meta/labels.csv") == ("a.jpg", '{"label":"cat"}')
    with pytest.raises(ConfigError, match=rf"sidecar s3://{bucket}/meta/none\.csv does not exist"):
        describe(f"s3://{bucket}/meta/none.csv")
    with pytest.raises(ConfigError, match=r"'nowhere' .* does not exist; correct `source\.sidecar`"):
        describe("s3://nowhere/labels.csv")


def test_the_uri_can_be_metadata() -> None:
    describe = Describer(FolderSource(kind="folder", path="/images", uri_key="uri", ids="md5-path"))
    assert (
        described(describe, "a.jpg", {"label": "x"}, "file:///images/a.jpg")[1]
        == '{"label":"x","uri":"file:///images/a.jpg"}'
    )
