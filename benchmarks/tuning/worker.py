"""A process that times workloads with kernels compiled for other tuning values.

Its argument is a Python literal: the changed thresholds by name. Each line of standard input is a request,
a literal `(workload, size, threads, slot)`; the answer is a line with the seconds per operation of the
workload, timed for at least `slot` seconds.
"""

from __future__ import annotations

import sys
from ast import literal_eval
from functools import cache
from typing import TYPE_CHECKING

from typednn_kernels.thread_limit import THREADS

from benchmarks.timing import Candidate, repeats_of, seconds_of
from benchmarks.tuning.values import change_values

if TYPE_CHECKING:
    from benchmarks.tuning.workloads import Workload


def serve() -> None:
    """Answers requests until standard input is closed."""
    change_values(literal_eval(sys.argv[1]))
    from benchmarks.tuning.workloads import WORKLOADS  # imports kernels, which take the values

    @cache
    def prepared(name: str, size: int) -> Workload:
        return WORKLOADS[name](size)

    @cache
    def repeats(name: str, size: int, _threads: int, slot: float) -> int:
        return repeats_of(candidate(name, size), slot)

    def candidate(name: str, size: int) -> Candidate:
        run, operations = prepared(name, size)
        return Candidate(name, run, operations)

    for line in sys.stdin:
        name, size, threads, slot = literal_eval(line)
        THREADS.value = threads
        print(seconds_of(candidate(name, size), repeats(name, size, threads, slot)), flush=True)


if __name__ == "__main__":
    serve()
