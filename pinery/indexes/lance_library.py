"""Imports LanceDB without what takes most of that time: a client for catalogues over REST, which nothing here uses.

LanceDB 0.40 imports the types of that client, and with them its 366 methods, of which each builds a pydantic validator.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any

CLIENT = "lance_namespace_urllib3_client"


def lancedb() -> Any:
    """Return the module `lancedb`, imported now if it wasn't."""
    if "lancedb" not in sys.modules and CLIENT not in sys.modules:
        _put_off(CLIENT)
    return importlib.import_module("lancedb")


def _put_off(name: str) -> None:
    """Have a package run its own code when somebody wants what that defines; its modules are imported as ever."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        return
    package, loader = importlib.util.module_from_spec(spec), spec.loader

    def define(attribute: str) -> Any:
        if vars(package).pop("__getattr__", None):
            loader.exec_module(package)
        if attribute not in vars(package):
            raise AttributeError(f"module {name!r} has no attribute {attribute!r}")
        return vars(package)[attribute]

    package.__getattr__ = define  # type: ignore[method-assign]
    sys.modules[name] = package
