"""Lines that report a run's progress where stderr is no terminal."""

import io
import threading

from flows.progress import LineProgress


class Lines(io.StringIO):
    """Takes what is printed, and tells when another line has come."""

    def __init__(self) -> None:
        super().__init__()
        self.came = threading.Condition()

    def write(self, text: str) -> int:
        """Keep the text and wake whoever waits."""
        with self.came:
            written = super().write(text)
            self.came.notify_all()
        return written

    def next_line(self, with_text: str) -> str:
        """The next line that has this text; fails if none comes."""
        with self.came:
            seen = self.tell()
            assert self.came.wait_for(lambda: with_text in self.getvalue()[seen:].rpartition("\n")[0], timeout=30)
            return next(line for line in self.getvalue()[seen:].splitlines() if with_text in line)


def test_a_line_comes_now_and_then_with_what_moves() -> None:
    out = Lines()
    progress = LineProgress(seconds=0.02, out=out)
    with progress.shown():
        progress.start("list", None)
        progress.advance("list", 12_000)
        assert out.next_line("list").startswith("pinery: list 12,000 (after ")
        progress.start("embed", 5000)
        progress.start("upsert", 5000)
        progress.advance("embed", 1234)
        assert "embed 1,234 of 5,000, upsert 0 of 5,000 (after " in out.next_line("embed 1,234")
        progress.advance("upsert", 7)
        line = out.next_line("upsert 7")
        assert "embed" not in line, "it did not move since"
        progress.note("waiting for the index")
        assert "waiting for the index\n" in out.getvalue()
        assert "upsert 7 of 5,000" in out.next_line("upsert 7"), "a line comes also where nothing moves"


def test_a_short_run_says_nothing() -> None:
    out = Lines()
    with LineProgress(seconds=3600, out=out).shown():
        pass
    assert out.getvalue() == ""
