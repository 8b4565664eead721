"""An error about a damaged file says where it is, what is wrong, and which command repairs it, ready to paste."""

import json
import shlex
import subprocess
from pathlib import Path

import pytest

from pinery.errors import DamagedError
from pinery.parquet.damage import ADVICE, damaged, parsing


@pytest.mark.parametrize(
    ("where", "advice"),
    [
        ("/state/corpus/key/parts/part-00000001.parquet", "parts"),
        ("/state/corpus/indexes/lance/name/ns/ledger/1-0.parquet", "ledger"),
        ("/state/corpus/indexes/lance/name/ns/rejected/1-0.parquet", "rejected"),
        ("/state/corpus/indexes/lance/name/ns/imports/run/00000000.parquet", "imports"),
        ("/state/corpus/listings/run.parquet", "listings"),
        ("/state/ledger/key/parts/part-00000001.parquet", "parts"),
    ],
)
def test_the_advice_is_that_of_the_folder_that_the_file_lies_in(where: str, advice: str) -> None:
    assert str(damaged(where, "why")) == f"{where} is damaged: why. To go on, delete it (rm {where}) {ADVICE[advice]}"


def test_a_file_of_no_known_folder_is_not_to_be_deleted() -> None:
    assert str(damaged("/tmp/scratch/held.parquet", "why")).endswith("why. Run the same command again to go on")


def test_a_file_on_s3_is_deleted_by_the_command_for_that() -> None:
    assert "(aws s3 rm s3://bucket/state/alias.json)" in str(damaged("s3://bucket/state/alias.json", "why", "alias"))


def test_the_command_deletes_that_file_and_no_other_whatever_its_name(tmp_path: Path) -> None:
    spoilt, other = tmp_path / "my state; it's $HOME" / "alias.json", tmp_path / "my"
    spoilt.parent.mkdir()
    for path in (spoilt, other):
        path.write_text("x")
    told = str(damaged(str(spoilt), "why", "alias"))
    command = told.split("delete it (")[1].split(") and run")[0]
    assert shlex.split(command) == ["rm", str(spoilt)]
    subprocess.run(command, shell=True, check=True)
    assert (spoilt.exists(), other.exists()) == (False, True)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"other": 1}', "\0" * 8])
def test_what_can_not_be_parsed_is_damage(text: str) -> None:
    with (
        pytest.raises(DamagedError, match=r"/state/alias\.json is damaged: .* to it") as caught,
        parsing("/state/alias.json", "alias"),
    ):
        json.loads(text)["live"].keys()
    assert isinstance(caught.value.__cause__, Exception)


def test_any_other_error_is_none() -> None:
    with pytest.raises(OSError, match="disk"), parsing("/state/alias.json", "alias"):
        raise OSError("disk")
