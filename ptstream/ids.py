"""The ids of streams: made here, random, never used again. On the fast path: no `secrets`."""

from __future__ import annotations

import os

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's base32 digits, in lower case."""

ID_LENGTH = 12


def new_id() -> str:
    """A fresh random id: 12 characters of Crockford's base32 (60 bits)."""
    number = int.from_bytes(os.urandom(8))
    return "".join(ALPHABET[number >> 5 * place & 31] for place in range(ID_LENGTH))


def is_id(word: object) -> bool:
    """Whether it is a stream's whole id."""
    return isinstance(word, str) and len(word) == ID_LENGTH and set(word) <= set(ALPHABET)
