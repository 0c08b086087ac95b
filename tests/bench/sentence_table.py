"""How well and how fast sentences are found in text that comes in pieces: the table of `tests.bench.sentences`."""

from __future__ import annotations

from tests.bench.report import Row, Section


def measure(quick: bool) -> Section:
    """Precision and recall of each way to cut, on texts that no rule was made on and on those beside them."""
    del quick  # it is quick
    from tests.bench import sentences
    from tests.bench.cases import held_out

    ways = sentences.rows()
    rows = [
        Row(label, _both(answers), f"kinds {_both(kinds)}, by other hands {_both(others)}")
        for label, (answers, _, others, kinds, _) in ways
    ]
    label, (_, answers, _, _, kinds) = ways[-1]
    rows.append(Row(f"{label}, on the development halves", _both(answers), f"kinds {_both(kinds)}"))
    cost = Row("ptstream's cutter, a piece of 1 to 6 characters", f"{sentences.microseconds(held_out()):.1f} µs")
    return Section(
        "Sentences: flush points found online, 1 to 6 characters at a time",
        [*rows, cost],
        "precision and recall, on the held-out halves of the answers and of the kinds, and on texts by other hands;"
        " right is where a sentence ends",
    )


def _both(found: tuple[float, float]) -> str:
    return f"{found[0]:.2f} {found[1]:.2f}"
