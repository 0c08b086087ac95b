"""How well and how fast sentences are found in text that comes in pieces: the table of `tests.bench.sentences`."""

from __future__ import annotations

from tests.bench.report import Row, Section


def measure(quick: bool) -> Section:
    """Precision and recall of each way to cut, on texts that no rule was made on."""
    del quick  # it is quick
    from tests.bench import sentences
    from tests.bench.cases import held_out

    found = sentences.rows()
    rows = [Row(label, f"{precision:.2f} {recall:.2f}") for label, precision, recall in found]
    cost = Row("ptstream's cutter, a piece of 1 to 6 characters", f"{sentences.microseconds(held_out()):.1f} µs")
    return Section(
        "Sentences: flush points found online, 1 to 6 characters at a time",
        [*rows, cost],
        "precision and recall; right is where a sentence ends",
    )
