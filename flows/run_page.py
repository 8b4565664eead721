"""The page of a run among Prefect's artifacts, in Markdown: what became of it, what is left out, and what is next."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlencode

from flows import run_summary
from pinery.errors import ConfigError, PineryError, RefusedError

CHANGES = ("listed", "new", "changed", "relabelled", "unchanged", "deleted")
WORK = ("embedded", "reused", "imported", "upserted", "quarantined", "rejected", "moved")
PACE = ("images_per_second", "rows_per_second", "retries", "throttled", "waited_seconds")
COMPARED = ("expected", "held", "missing", "extra", "stale", "wrong", "wrong_metadata")
ALWAYS = ("listed", "new", "embedded", "upserted", "deleted", "quarantined", "rejected", "verified", *COMPARED)
"""Counts that are shown where they are 0 too."""
SHOWN_REASONS = 20


def page(report: Mapping[str, Any], error: Exception | None, command: str, config: str) -> str:
    """Return the page of a run of `command` with the config `config`."""
    rows = {row["what"]: row["value"] for row in run_summary.table(report, error, command, config)}
    corpus = report.get("corpus", config)
    sections = [
        f"# pinery {command}, corpus {corpus}: {run_summary.state_of(error)}",
        _end(report, error),
        f"**Next:** {rows.pop('next')}",
        _left_out(report),
        _targets(report),
        _gate(report),
        _table(("what", "value"), [(name, _text(value)) for name, value in _first(rows)]),
    ]
    return "\n\n".join(filter(None, sections)) + "\n"


def stages(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each stage of a run: its seconds, and their share."""
    seconds, shares = report.get("seconds") or {}, report.get("shares") or {}
    return [{"stage": name, "seconds": value, "share": shares.get(name)} for name, value in seconds.items()]


def _end(report: Mapping[str, Any], error: Exception | None) -> str:
    """Return how the run ended and, where it failed, what is safe and what is not."""
    if error is None:
        return " ".join(filter(None, [f"{run_summary.summary(report)}.", report.get("bottleneck_line")]))
    lines = [f"**{run_summary.line_of(error)}**"]
    if isinstance(error, ConfigError):
        return lines[0]
    if report.get("listing") is None:
        return "\n\n".join([*lines, "**Safe:** nothing was embedded, upserted or deleted by this run."])
    lines.append(
        "**Safe:** every part that was published, and every row that the index acknowledged: the state has a record of"
        " each, and nothing of that is done again."
    )
    if not isinstance(error, RefusedError):
        lines.append(
            "**Not safe:** the index may have some rows of this run and lack others, until the run goes on; parts in"
            " work are made again."
        )
    if not isinstance(error, PineryError):
        lines.append("This should not happen: the flow run's log has the stack trace.")
    return "\n\n".join(lines)


def _left_out(report: Mapping[str, Any]) -> str:
    found = [
        (kind, f"{times:,}", reason)
        for kind, reasons in (report.get("not_indexed") or {}).items()
        for reason, times in sorted(reasons.items(), key=lambda one: -one[1])
    ]
    if not found:
        return ""
    more = len(found) - SHOWN_REASONS
    rest = f"\n\n… and {more:,} more reasons" if more > 0 else ""
    link = f"\n\n[The images, with their pictures]({_at(report, 'status')})" if report.get("page_url") else ""
    return "## Left out of the index\n\n" + _table(("", "images", "reason"), found[:SHOWN_REASONS]) + rest + link


def _targets(report: Mapping[str, Any]) -> str:
    rows = report.get("targets") or ()
    if len(rows) < 2:
        return ""
    names = ("role", "index", "embedded", "upserted", "deleted", "held", "error")
    return "## Targets\n\n" + _table(names, [[_text(row.get(name)) for name in names] for row in rows])


def _gate(report: Mapping[str, Any]) -> str:
    gate = report.get("gate")
    if gate is None:
        return ""
    reasons = "\n".join(f"- {one}" for one in gate["reasons"])
    told = f"## Gate: {gate['verdict']}\n\n{reasons}".rstrip()
    changed = gate.get("changed") or ()
    if not changed or not report.get("page_url"):
        return told
    links = [f"- [{_linked(one['id'])}]({_at(report, 'compare', id=one['id'])})" for one in changed]
    return "\n".join([told, "\nThe neighbours of these images changed most, shown side by side:\n", *links])


def _at(report: Mapping[str, Any], page: str, **query: str) -> str:
    """Return the address of a page of the corpus' search page."""
    asked = urlencode({"corpus": report["corpus"], **query}, quote_via=quote)
    return f"{report['page_url'].rstrip('/')}/{page}?{asked}"


def _linked(text: str) -> str:
    """Return a text as the text of a link in Markdown."""
    return "".join(f"\\{one}" if one in "\\[]*_`<>" else one for one in text)


def _first(rows: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the rows with counts and paces first; the reasons have a section of their own."""
    order = ["state", "index", *CHANGES, *WORK, *PACE]
    names = [name for name in order if name in rows] + [name for name in rows if name not in order and ": " not in name]
    return [(name, rows[name]) for name in names if name in ALWAYS or rows[name] not in (0, "")]


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(_cell(one) for one in line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())
