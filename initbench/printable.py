"""Texts from outside (records, files, names, exceptions) made fit to be shown: nothing in them acts, all is seen.

A terminal obeys escape sequences, text runs backwards after a direction mark, and what has no width hides. Whatever
shows a text makes it printable first; accents, CJK and emoji stay as they are.
"""

import codecs
import re
import unicodedata

# Letters and marks by name that nobody sees: fillers, a blank pattern, joiners of other scripts.
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\uffa0]")
# What joins two emoji to one.
_JOINED = re.compile("(?<=[\u2190-\u2bff\ufe0f\U0001f000-\U0001faff])\u200d(?=[\u2190-\u2bff\U0001f000-\U0001faff])")
_ASCII = {
    **{"±": "+/-", "–": "-", "—": "-", "−": "-", "…": "...", "·": "*", "×": "x", "≤": "<=", "≥": ">=", "≈": "~"},
    **{"→": "->", "←": "<-", "∞": "inf", "√": "sqrt ", "²": "^2", "³": "^3", "ⁿ": "^n", "⁻": "^-", "ᵀ": "^T"},
    **{"½": "1/2", "∈": " in ", "∼": "~", "∏": "prod ", "∑": "sum ", "‖": "||", "⟨": "<", "⟩": ">", "ℓ": "l"},
    **{"“": '"', "”": '"', "‘": "'", "’": "'", "\u00a0": " "},
}


def printable(text: str) -> str:
    r"""One line in which every character is seen: what is not is spelled as Python would, ``\x1b`` or ``\u202e``.

    So are line breaks. Spaces of any width stay, and joiners between two emoji.
    """
    if text.isprintable() and not _BLANK.search(text):
        return text
    return "\u200d".join("".join(map(_seen, part)) for part in _JOINED.split(text))


def printable_lines(text: str) -> str:
    """As :func:`printable`, of a text of several lines."""
    return "\n".join(map(printable, text.split("\n")))


def legible(text: str, encoding: str) -> str:
    """A text in the characters of an encoding; others are spelled in ASCII: ``+/-``, ``sigma``, ``e``."""
    return text.encode(encoding, "legible").decode(encoding)


def _seen(char: str) -> str:
    if (char.isprintable() or unicodedata.category(char) == "Zs") and not _BLANK.match(char):
        return char
    return char.encode("unicode_escape").decode()


def _spelled(char: str) -> str:
    if char in _ASCII:
        return _ASCII[char]
    name = unicodedata.name(char, "")
    if name.startswith("GREEK") and "LETTER" in name:
        return name.split(" WITH ")[0].split()[-1].lower()
    letter = unicodedata.normalize("NFKD", char).encode("ascii", "ignore").decode() if char.isalpha() else ""
    return letter or char.encode("unicode_escape").decode()


def _legible(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_spelled, error.object[error.start : error.end])), error.end


# For streams as well: what they cannot encode is no error.
codecs.register_error("legible", _legible)
