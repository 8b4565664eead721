"""A corpus that is in its index."""

from __future__ import annotations

from tests.filled import filled as filled
from tests.filled import made as made
