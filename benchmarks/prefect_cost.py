"""Measures what Prefect costs a run against a running server: milliseconds and memory per task.

Run as `python benchmarks/prefect_cost.py [TASKS ...]`; writes benchmarks/results/prefect_cost.md. The flow process is a
process of its own, the server another on the same machine, and the same loop runs beside them without Prefect.
"""

import copy
import json
import sys
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
from measuring.child import child
from measuring.machine import keep, table
from measuring.prefect_server import server

WORKERS = 2
FIRST = 200
"""Tasks before memory is counted: until then threads, clients and buffers are made."""
MILLISECONDS, MEBIBYTES = 15, 30
"""The bars: per task, and per thousand tasks."""


def run_tasks(tasks: int, with_prefect: bool) -> None:
    """Put `tasks` parts, half of them embedded and half upserted, through the loop of a run; print what it cost."""
    from prefect import flow
    from prefect.task_runners import ThreadPoolTaskRunner

    from flows import embed_and_upsert
    from flows.logs import keep_to_one_line

    keep_to_one_line()
    memory: list[int] = []
    done: list[float] = []

    def embedded(embedding: Any, work: Any) -> Any:  # noqa: ARG001  # the task's parameters
        return SimpleNamespace(rows=1)

    def upserted(held: Any, work: Any, refusals: Any) -> Any:  # noqa: ARG001  # the task's parameters
        done.append(time.perf_counter())
        if len(done) * 2 in (FIRST, tasks):
            memory.append(psutil.Process().memory_info().rss)
        return SimpleNamespace(rows=1)

    works = deque(SimpleNamespace(part=f"part-{number:08d}", rows=1) for number in range(tasks // 2))
    pipeline = embed_and_upsert._Pipeline(None, None, None)  # type: ignore[arg-type]  # nothing is held, nothing is sent
    embedding: Any = SimpleNamespace(workers=SimpleNamespace(count=WORKERS))

    def loop() -> None:
        pipeline._run(embedding, works, deque(), upserting=True)  # type: ignore[arg-type]  # works that say as much

    pool = ThreadPoolExecutor(WORKERS + 1)
    for name, work in (("embed_part", embedded), ("upsert_part", upserted)):
        task = copy.copy(getattr(embed_and_upsert, name)) if with_prefect else _Plain(pool)
        task.fn = work
        setattr(embed_and_upsert, name, task)
    runner: Any = ThreadPoolTaskRunner(max_workers=WORKERS + 1)
    whole: Callable[[], Any] = flow(name="cost", task_runner=runner, persist_result=False)(loop)
    began = time.perf_counter()
    (whole if with_prefect else loop)()
    seconds = time.perf_counter() - began
    grown = (memory[-1] - memory[0]) / 2**20 / max(tasks - FIRST, 1) * 1000
    print(json.dumps({"seconds": seconds, "loop": done[-1] - began, "grown": grown}))


class _Plain:
    """What a task is to the loop, without Prefect."""

    fn: Callable[..., Any]

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool

    def submit(self, *arguments: Any) -> Any:
        return self._pool.submit(self.fn, *arguments)


def main() -> None:
    """Measure each number of tasks, with and without Prefect, and write the results."""
    sizes = [int(argument) for argument in sys.argv[1:]] or [1_000, 3_000, 10_000]
    rows, holds = [], True
    for tasks in sizes:
        with server():
            child(Path(sys.executable), "prefect_cost.py", "--with", 2)  # so that the first has no first times to pay
            found = child(Path(sys.executable), "prefect_cost.py", "--with", tasks)
            plain = child(Path(sys.executable), "prefect_cost.py", "--without", tasks)
        cost = (found["seconds"] - plain["seconds"]) / tasks * 1000
        holds &= cost <= MILLISECONDS and found["grown"] <= MEBIBYTES
        shown = [found["seconds"], found["loop"], plain["seconds"]]
        rows.append([f"{tasks:,}", *(f"{one:,.2f}" for one in shown), f"{cost:.1f}", f"{found['grown']:.1f}"])
        print(rows[-1], file=sys.stderr)
    head = ["tasks", "seconds", "of them until the last task", "without Prefect", "ms a task", "MiB per 1,000 tasks"]
    about = (
        "Half of the tasks are `embed part`, half `upsert part`, with the names, retries and settings of a run's own,"
        f" through the loop of `flows/embed_and_upsert.py` with {WORKERS} workers; they do nothing. The server has"
        " its default settings and SQLite, and shares the machine's cores. The seconds are those of the whole flow;"
        f" memory is the flow process' growth after its first {FIRST} tasks."
    )
    bars = (
        f"The bars, {MILLISECONDS} ms a task and {MEBIBYTES} MiB per 1,000 tasks: {'hold' if holds else '**broken**'}."
    )
    keep("prefect_cost", "What Prefect costs", ["prefect"], f"{about}\n\n{table(head, rows)}\n\n{bars}")


if __name__ == "__main__":
    if sys.argv[1:2] in (["--with"], ["--without"]):
        run_tasks(int(sys.argv[2]), with_prefect=sys.argv[1] == "--with")
    else:
        main()
