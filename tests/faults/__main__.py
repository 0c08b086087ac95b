"""`python -m tests.faults`: every fault that a home can meet, and what it cost. The last three columns are zero.

Kills are at random moments that follow from the seed. Linux; what needs root, strace or the network says so and is
skipped without. It takes about two seconds a kill, and two minutes for what is not killed.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator, Sequence

from tests.faults import catalogue, ground, tally
from tests.faults.runs import Run

ENGINES = ("sqlite", "postgres")


def main() -> int:
    """Run the faults; 1 if one of them cost anything."""
    words = _parser().parse_args()
    ground.leave_in_order()
    if words.llm:
        from tests.faults import beside

        return beside.main()
    run = Run(words.seed, words.quick)
    kills = min(words.kills, 20) if words.quick else words.kills
    print(f"seed {run.seed}, {kills} kills", flush=True)
    began = time.monotonic()
    done = []
    for one in _run(run, kills, faults_of(words.engine), words.only):
        done.append(one)
        cost = f"{one.lost} lost, {one.repeated} repeated, {one.endless} without an end{'' if one.good else '  WRONG'}"
        print(f"[{time.monotonic() - began:5.0f} s] {one.title}: {one.times} times, {cost}", flush=True)
    print()
    print("\n".join(tally.lines(done)))
    for one in done:
        for wrong in one.wrong:
            print(f"WRONG  {one.title}: {wrong}")
    print(f"seed {run.seed}: {time.monotonic() - began:.0f} s")
    return 0 if all(one.good for one in done) else 1


def faults_of(engine: str) -> Sequence[catalogue.Fault]:
    """The faults that streams of this engine can meet."""
    if engine == "sqlite":
        return catalogue.FAULTS
    from tests.faults.cluster import catalogue as of_several

    return of_several.FAULTS


def _run(run: Run, kills: int, faults: Sequence[catalogue.Fault], only: list[str] | None) -> Iterator[tally.Tally]:
    chosen = [fault for fault in faults if not only or {fault.name, fault.of} & set(only)]
    for fault in chosen:
        one = tally.Tally(fault.title)
        one.skipped = fault.missing()
        if not one.skipped:
            fault.run(run, one, fault.part_of(kills, chosen))
        yield one


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    every = [fault for engine in ENGINES for fault in faults_of(engine)]
    names = list(dict.fromkeys(name for fault in every for name in (fault.of, fault.name) if name))
    parser.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help="whose faults (sqlite)")
    parser.add_argument("--kills", type=int, default=100, metavar="N", help="how many in all (100)")
    parser.add_argument("--seed", type=int, default=random.randrange(2**32), help="repeats a run's chances")
    parser.add_argument("--only", metavar="NAME", choices=names, action="append", help=f"one of {', '.join(names)}")
    parser.add_argument("--quick", action="store_true", help="20 kills, seconds instead of minutes, less of everything")
    parser.add_argument(
        "--llm", action="store_true", help="what four accidents leave in llm from PyPI, and in ptstream"
    )
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
