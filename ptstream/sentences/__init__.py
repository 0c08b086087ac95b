"""Where a growing text may be cut into chunks: pieces in, flush points out. Pure, without I/O or a clock of its own.

`cutter` decides when text is flushed, `scanner` looks for boundaries in what comes, `rules` decide whether a sentence
ends there. Behind them: `full_stops`, `quotes`, `terminators`, `blocks` (Markdown), `boundaries` (words and
characters), `languages` and `abbreviations`. What becomes of a chunk is the caller's.
"""

from ptstream.sentences.cutter import Cutter

__all__ = ["Cutter"]
