"""The page of a run among Prefect's artifacts, read back."""

from typing import Any


def said(page: str) -> dict[str, Any]:
    """Return what a page says: its rows by their first cell, its reasons, the next command, and the page itself."""
    lines = [line[1:-1].split(" | ") for line in page.splitlines() if line.startswith("|")]
    rows: dict[str, Any] = {line[0].strip(): line[1].strip() for line in lines}
    rows |= {f"{line[0].strip()}: {line[2].strip()}": line[1].strip() for line in lines[2:] if len(line) == 3}
    numbers = {name: int(value.replace(",", "")) for name, value in rows.items() if value.replace(",", "").isdigit()}
    return rows | numbers | {"next": page.partition("**Next:** ")[2].splitlines()[0], "page": page}
