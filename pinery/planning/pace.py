"""How many requests may be in flight at once: fewer when the index asks for less, more again while all goes well.

Additive increase, multiplicative decrease, as TCP does it (Chiu and Jain, 1989).
"""

from __future__ import annotations


class Pace:
    """A limit between 1 and `most`. Not for several threads at once."""

    def __init__(self, most: int) -> None:
        """Raises ValueError where `most` is below 1."""
        if most < 1:
            raise ValueError(f"at least one request must be allowed, got {most}")
        self.limit = self.most = most
        self.epoch = 0
        """Grows with every decrease; a request keeps the one that it was sent in."""
        self._successes = 0

    def slow(self, epoch: int) -> bool:
        """A request sent in `epoch` was told to slow down: halve the limit, once for all requests of that epoch.

        Returns whether the limit changed its epoch.
        """
        if epoch != self.epoch:
            return False
        self.limit = max(1, self.limit // 2)
        self.epoch += 1
        self._successes = 0
        return True

    def succeed(self) -> None:
        """A request succeeded: as many as the limit in a row raise it by one."""
        self._successes += 1
        if self._successes >= self.limit:
            self.limit = min(self.most, self.limit + 1)
            self._successes = 0
