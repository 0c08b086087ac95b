"""`python -m tests.bench`: what ptstream costs, each row against something plain in the same run, as a ratio.

All of it takes about a quarter of an hour; `--quick` a fifth of it, with less certainty; `--only NAME` one part;
`--json FILE` writes the rows for programs, too.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

from tests.bench import plots, report, surroundings

PARTS = {
    "watcher": "commit_to_watcher",
    "screen": "piece_to_screen",
    "tail": "tail_cost",
    "start": "start_up",
    "durable": "durable_chunks",
    "sentences": "sentence_table",
    "answer": "long_answer",
    "curves": "curves",
    "sizes": "sizes",
    "readers": "readers",
    "http": "beside_durable",
    "engine": "engine",
    "capacity": "capacity",
    "crowd": "crowd",
    "herd": "herd",
    "pieces": "throughput",
    "web": "web_answers",
    "first": "first_token",
    "daemon": "daemon_size",
}
"""Name → the module that measures it: `measure(quick)` gives its section."""


def main() -> None:
    """Measure and print, part by part."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fifth of the time, less certainty")
    parser.add_argument("--only", metavar="NAME", choices=PARTS, action="append", help=f"one of {', '.join(PARTS)}")
    parser.add_argument("--json", metavar="FILE", type=Path, help="where the rows are written for programs")
    parser.add_argument(
        "--plots", metavar="FOLDER", type=Path, help="where each cost that grows is drawn (by matplotlib)"
    )
    words = parser.parse_args()
    surroundings.die_with_terminal()
    began = time.monotonic()
    rows: list[dict[str, Any]] = []
    for name in words.only or PARTS:
        section = importlib.import_module(f"tests.bench.{PARTS[name]}").measure(quick=words.quick)
        for line in report.lines(section):
            sys.stdout.write(line + "\n")
        sys.stdout.flush()
        if words.plots:
            plots.draw(words.plots, section.curves)
        rows += report.as_json(section)
        if words.json:  # after each part: what was measured is there, whatever comes
            words.json.write_text(json.dumps({"rows": rows}, indent=1), encoding="utf-8")
    sys.stdout.write(f"ratios are ours / the other's, one run of {time.monotonic() - began:.0f} s\n")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except BaseExceptionGroup as told:
        if told.subgroup((SystemExit, KeyboardInterrupt)) is None:
            raise
        sys.exit(143)
