"""The parameters that errors name; on the command line they are flags: `allow_deletes` is --allow-deletes there."""

import re

PARAMETERS = ("allow_deletes", "allow_changes", "retry_quarantined", "wait", "repair", "full", "limit", "force", "plan")
"""The parameters of the flows."""
QUERY = ("image", "text", "id", "plus", "minus", "top_k", "filter", "grid")
"""The parameters of a search."""
_NAMED = re.compile(r"`([a-z_]+)`")


def named_in(text: str) -> list[str]:
    """Return the flows' parameters that a text names, each once."""
    return [name for name in dict.fromkeys(_NAMED.findall(text)) if name in PARAMETERS]


def flag(name: str) -> str:
    """Return the flag of the command line for a parameter."""
    return f"--{name.replace('_', '-')}"


def with_flags(text: str) -> str:
    """Return the text for the command line, with flags in the place of parameters."""
    return _NAMED.sub(lambda match: flag(match[1]) if match[1] in (*PARAMETERS, *QUERY) else match[0], text)
