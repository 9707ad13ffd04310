"""Finds the devices that people mean by what they type: case and separators do not count."""

import re
from collections.abc import Mapping


def meant(typed: str, titles: Mapping[str, str]) -> list[str]:
    """The names of all devices that `typed` may mean: the one of the same words, or else those that contain them.

    A word is a run of letters or a run of digits: `pi4` and `Pi_4` are the words pi, 4. A text contains words if they
    follow one another in it. `titles`: of all devices, by name.
    """
    wanted = _words(typed)
    if not any(word.isalpha() for word in wanted):  # a digit alone is a slip, such as the number of a GPU
        return []
    same = [name for name in titles if _words(name) == wanted]
    return same or [name for name in titles if any(_contains(_words(text), wanted) for text in (name, titles[name]))]


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+|\d+", text.lower())


def _contains(words: list[str], wanted: list[str]) -> bool:
    return any(words[at : at + len(wanted)] == wanted for at in range(len(words)))
