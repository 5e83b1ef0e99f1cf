"""Text of other people's, made fit for one line of the log."""

from typing import Final

_MAX_CHARACTERS: Final = 4096


def escaped(text: str, most: int = _MAX_CHARACTERS) -> str:
    """The text with everything escaped that is not printable, cut to `most` characters."""
    if len(text) > most:
        text = f"{text[:most]}... ({len(text)} characters)"
    if text.isprintable():
        return text
    # isprintable also refuses direction marks and lone surrogates; both could mislead a reader.
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
