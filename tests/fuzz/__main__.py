"""`python -m tests.fuzz [target ...] [--seconds 60] [--count N] [--seed N]`; without targets, all.

It prints the seeds, the numbers of inputs and of failures. Minimised failures become files of
`tests/regressions`. The exit status is 1 if there are any.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys


def main() -> int:
    os.environ.setdefault("TYPEDNN_BACKEND", "numpy")  # thousands of networks, none of which is large
    from tests.fuzz.campaign import limit_memory, run
    from tests.fuzz.targets import TARGETS

    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=float, default=60.0, help="for each target")
    parser.add_argument("--count", type=int, default=None, help="the largest number of inputs of a target")
    parser.add_argument("--seed", type=int, default=None)
    arguments = parser.parse_args()
    limit_memory()
    failures = 0
    for name in arguments.targets or TARGETS:
        first = secrets.randbits(32) if arguments.seed is None else arguments.seed
        outcome = run(TARGETS[name], first, arguments.seconds, arguments.count)
        print(f"{name}, seed {first}: {outcome}", flush=True)
        failures += len(outcome.failures)
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
