"""The characters that may end a sentence, and what belongs to them.

Unicode's Sentence_Terminal and what follows it in UAX #29 (more terminators, closing quotes and brackets), with what
people write besides: emoticons, emoji, the numbers of footnotes. The character itself is the terminator, all of that
together its run.
"""

from __future__ import annotations

import re

from ptstream.sentences.quotes import CLOSERS, points_inward

UNSPACED = "؟۔։।॥።፧፨။។៕᠃᠉꓿꛳܀܁܂჻⸮᙮᱾᱿꣎꣏꧈꧉꩝꩞꩟꫰꫱꯫"
"""Terminators that are nothing else, of scripts that may do without a space behind them."""

FULLWIDTH = "。！？｡．"
"""Terminators as wide as a character of Chinese or Japanese."""

TERMINATORS = ".!?…‥‼⁇⁈⁉‽;:\u037e" + UNSPACED + FULLWIDTH
"""Characters that may end a sentence; semicolon and colon do so in Greek and in Armenian only."""

EMOTICON = r"[:;]-?[)(DP](?!\w)"
"""A face made of punctuation, as a pattern."""

_EMOJI = rf"(?:[ \xa0]?(?:{EMOTICON}|[\u2600-\u27bf\U0001f000-\U0001faff][\ufe0f\u200d]*))"
_NOTE = r"(?: ?\[\^?(?:\w{0,3}|\d[\d ,–-]{0,12})(?:\]|\Z))"
_RUN = re.compile(rf"[{TERMINATORS}]+(?:[{CLOSERS}]|{_NOTE}|{_EMOJI})*")
_SPACED_RUN = re.compile(rf"[{TERMINATORS}]+(?:[ \xa0\u202f]?[»›]|[{CLOSERS}]|{_NOTE}|{_EMOJI})*")
_WIDE_RUN = re.compile(rf"[{FULLWIDTH}!?…]+(?:[”’»)\]}}*_」』）】〕〉》]|{_NOTE}|{_EMOJI})*")
"""A terminator with all that belongs to it: more terminators, closing quotes, a footnote's number, an emoticon."""


def run_end(text: str, index: int) -> int:
    """Where the terminator at `index` ends with all that belongs to it."""
    if text[index] in FULLWIDTH:
        pattern = _WIDE_RUN
    elif not points_inward(text[:index]) and text.rfind("«", 0, index) > text.rfind("»", 0, index):
        pattern = _SPACED_RUN
    else:
        pattern = _RUN
    run = pattern.match(text, index)
    return run.end() if run else index
