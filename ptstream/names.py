"""What a stream can be called, and how another name is shown, as an older database may hold one.

A name is typed, completed by a shell and read on a terminal. So in a new one nothing means anything to a shell, and
nothing is invisible but what a script cannot do without. Look-alikes, as the Latin and the Cyrillic "a", stay two.
"""

from __future__ import annotations

from ptstream.errors import UsageError

LONGEST = 200
"""Characters that a name may have."""

_SIGNS = frozenset("._:+-")

_NO_REFERENCE = frozenset("@/").union(map(chr, (*range(0x20), *range(0x7F, 0xA0))))

_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0").union(
    map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)))
)
"""Letters and marks that nobody sees: those with Unicode's property Default_Ignorable_Code_Point."""

_JOINERS = frozenset("\u200c\u200d")


def as_name(name: str) -> str:
    """The name as it is stored, which is Unicode's normal form C. Raises UsageError for what no stream can be called.

    It has letters and digits of any script, the marks that belong to them, and `._:+-`; one letter or digit at least,
    and no `-` in front. The joiners U+200C and U+200D may stand where RFC 5892 (appendix A) lets them.
    """
    if _is_plain(name):
        return name
    if not name.isascii():
        from unicodedata import normalize

        normal = normalize("NFC", name)
        if len(normal) <= LONGEST and not normal.startswith("-") and _is_written(normal):
            return normal
    raise UsageError(
        f"{name!r} cannot be a name: one has letters and digits of any script and . _ : + -, at most {LONGEST} of them,"
        " and does not begin with -"
    )


def _is_plain(name: str) -> bool:
    """Whether it is a name of ASCII alone."""
    return (
        name.isascii()
        and 0 < len(name) <= LONGEST
        and name[0] != "-"
        and all(character.isalnum() or character in _SIGNS for character in name)
        and not _SIGNS.issuperset(name)
    )


def _is_written(name: str) -> bool:
    """Whether it is of letters and digits (one at least), marks on them, joiners in them, and signs."""
    from unicodedata import category

    inside = letters = False
    for place, character in enumerate(name):
        kind = category(character)
        if character in _SIGNS:
            inside = False
        elif character in _UNSEEN:
            return False
        elif kind[0] == "L" or kind == "Nd":
            inside = letters = True
        elif not inside or not (kind in ("Mn", "Mc") or (character in _JOINERS and _joins(name, place))):
            return False
    return letters


def _joins(name: str, place: int) -> bool:
    """Whether a joiner is needed there: after a virama, or between letters that would be joined without it."""
    from idna import valid_contextj

    try:
        return valid_contextj(name, place)
    except ValueError:  # beside what has no joining type at all
        return False


def is_name(name: str) -> bool:
    """Whether a stream can be called so now."""
    try:
        return as_name(name) == name
    except UsageError:
        return False


def references(reference: str) -> tuple[str, str]:
    """What a word is looked up as: itself, and its normal form C. Raises UsageError for what is no id and no name."""
    if not reference:
        raise UsageError("an empty word is no id")
    if any(character.isspace() for character in reference):
        raise UsageError("that is a sentence, not an id; did you mean --prompt?  (ids: ptstream ls)")
    if not _is_reference(reference):
        raise UsageError(f"{reference!r} is neither an id nor a name")
    if reference.isascii():
        return reference, reference
    from unicodedata import normalize

    return reference, normalize("NFC", reference)


def _is_reference(word: str) -> bool:
    """Whether it is what is looked up: any name that an older ptstream could give."""
    return 0 < len(word) <= LONGEST and word[0] != "-" and not any(map(_never_in_names, word))


def _never_in_names(character: str) -> bool:
    """Whether no name ever had this: space, controls, `@/`, halves of surrogate pairs."""
    return character.isspace() or character in _NO_REFERENCE or "\ud800" <= character <= "\udfff"


def can_be_typed(word: str) -> bool:
    """Whether a stored name or id can be looked up by what a terminal shows of it."""
    return is_name(word) or (word.isprintable() and _is_reference(word) and _UNSEEN.isdisjoint(word))


def shown(name: str | None) -> str:
    """A name for people: as it is; one that can be none any more as a word that a shell takes for just this."""
    if not name or is_name(name):
        return name or ""
    if can_be_typed(name):  # not by shlex.quote, which leaves `=x` alone: zsh takes that for a command
        return "'" + name.replace("'", "'\"'\"'") + "'"
    return "$'" + "".join(map(_escaped, name)) + "'"


def _escaped(character: str) -> str:
    """As bash and zsh write it between `$'` and `'`."""
    if character in "\\'":
        return f"\\{character}"
    if character.isprintable() and character not in _UNSEEN:
        return character
    return f"\\U{ord(character):08x}"
