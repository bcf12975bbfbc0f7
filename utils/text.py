"""Text of others, as it may stand in a log or on a terminal."""

from collections.abc import Callable


def escape_unprintable(
    text: str, escape: Callable[[str], str] = lambda char: char.encode("unicode_escape").decode()
) -> str:
    """Escape what could forge or hide a line: control, separator and bidirectional characters."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else escape(char) for char in text)
