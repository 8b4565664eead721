"""Limits the requests in flight: to fewer when the index asks for less, to more again while all goes well.

The limit grows by addition and shrinks by division, as that of TCP does (Chiu and Jain, 1989).
"""


class Pace:
    """A limit between 1 and `most`. Not for several threads at once."""

    def __init__(self, most: int) -> None:
        """Begin with a limit of `most`. Raises ValueError where that is below 1."""
        if most < 1:
            raise ValueError(f"at least one request must be allowed, got {most}")
        self.limit = self.most = most
        self.epoch = 0
        """Grows with every decrease; a request keeps the one that it was sent in."""
        self._successes = 0

    def slow(self, epoch: int) -> bool:
        """Halve the limit for a request of `epoch` that was told to slow down, once for all requests of that epoch.

        Returns whether the limit changed its epoch.
        """
        if epoch != self.epoch:
            return False
        self.limit = max(1, self.limit // 2)
        self.epoch += 1
        self._successes = 0
        return True

    def succeed(self) -> None:
        """Note that a request succeeded; as many in a row as the limit raise it by one."""
        self._successes += 1
        if self._successes >= self.limit:
            self.limit = min(self.most, self.limit + 1)
            self._successes = 0
