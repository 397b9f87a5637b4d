"""Leaves out of the training texts what also stands in the evaluation texts.

A paragraph is left out when at least half of its sequences of 12 words, taken at every fourth
word, stand in an evaluation text: editions differ in punctuation and line breaks, not in words.
"""

import re
from pathlib import Path

WORDS = 12
STRIDE = 4
SHARE = 0.5
_WORD = re.compile(r"[^\W_]+")


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def sequences(texts: list[str]) -> set[str]:
    """Every sequence of 12 words."""
    found = set()
    for text in texts:
        words = _words(text)
        found.update(" ".join(words[i : i + WORDS]) for i in range(len(words) - WORDS + 1))
    return found


def without_overlap(text: str, evaluation: set[str]) -> tuple[str, int]:
    """The text without the paragraphs that stand in `evaluation`, and how many those were."""
    kept, dropped = [], 0
    for paragraph in text.split("\n\n"):
        words = _words(paragraph)
        starts = range(0, len(words) - WORDS + 1, STRIDE)
        known = sum(" ".join(words[i : i + WORDS]) in evaluation for i in starts)
        if known and known >= SHARE * len(starts):
            dropped += 1
        else:
            kept.append(paragraph)
    return "\n\n".join(kept) if dropped else text, dropped
