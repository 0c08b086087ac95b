"""What the generators of the harness say: long, known beforehand, in many scripts, and nowhere the same twice.

Every sentence bears its text's label and its own number, so that a run that is missing, repeated or out of another
stream is seen wherever it is.
"""

from __future__ import annotations

from itertools import count, cycle

SAMPLES = (
    "The rain fell, and nobody said why.",
    "Grüße aus Köln, schöne Straße!",
    "雨が降った。誰も理由を言わなかった。",
    "كان الليل مظلمًا، ثم توقف المطر.",
    "היה לילה חשוך; ואז פסק הגשם.",
    "A family 👨‍👩‍👧‍👦, a flag 🇩🇪 and a wave 👋🏽 passed by.",
    "\ufeffA mark, a NUL \0 and e\u0301 with its accent apart.",
    "ประโยคนี้ไม่มีช่องว่าง และ हिन्दी में एक वाक्य।",
    "```\ncode = 3.14  # e.g. Dr. Smith\n```\n",
)


def numbered(label: str, size: int) -> bytes:
    """At least `size` bytes of UTF-8, always the same for the same label.

    It ends with a newline: a terminal would get one that is not of the text.
    """
    text = bytearray()
    for number, sample in zip(count(), cycle(SAMPLES), strict=False):
        if len(text) >= size:
            break
        text += f"{label}.{number} {sample} ".encode()
    return bytes(text) + b"\n"


def common(one: bytes, other: bytes) -> int:
    """How many bytes two texts begin with in common."""
    if one == other:
        return len(one)
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
