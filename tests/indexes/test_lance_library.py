import subprocess
import sys


def _python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_lancedb_comes_without_the_client_that_takes_most_of_its_time() -> None:
    code = """
import sys
from pinery.indexes.lance_library import lancedb
print(lancedb().__name__, "lance_namespace_urllib3_client.api" in sys.modules, lancedb() is sys.modules["lancedb"])
"""
    assert _python(code) == "lancedb False True"


def test_who_wants_that_client_gets_it() -> None:
    code = """
from pinery.indexes.lance_library import lancedb
lancedb()
import lance_namespace_urllib3_client as client
print(hasattr(client, "no_such_thing"), client.ApiClient.__name__, "TableApi" in dir(client))
from lance_namespace_urllib3_client.api import TableApi
print(TableApi is client.TableApi)
"""
    assert _python(code) == "False ApiClient True\nTrue"


def test_a_lancedb_that_is_imported_already_is_taken_as_it_is() -> None:
    code = """
import sys
import lancedb as before
from pinery.indexes.lance_library import lancedb
print(lancedb() is before, "lance_namespace_urllib3_client.api" in sys.modules)
"""
    assert _python(code) == "True True"
