"""Text of users on pages and terminals: what would be unseen, or would turn or hide what stands around it, is shown."""

from __future__ import annotations

import re

# Control characters but for tabs and line ends; soft hyphens; what turns the direction of text; what has no width;
# separators of lines and paragraphs; halves of characters; tags; what no character may be.
_UNSEEN = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff"
    "\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e007f"
)
_JOINERS = "\u200c\u200d"
# Emojis are joined so, and letters of Persian and of India's scripts; nothing is that lies beside ASCII.
_PATTERN = re.compile(
    f"[{_UNSEEN}]|(?<![^\x00-\x7f{_UNSEEN}{_JOINERS}])[{_JOINERS}]|[{_JOINERS}](?![^\x00-\x7f{_UNSEEN}{_JOINERS}])"
)
_LINE_ENDS = re.compile(r"[\t\n]")


def visible(text: str) -> str:
    r"""A text with `\x1b`, `\u202e` and the like in the place of characters that nobody sees; keeps tabs and lines."""
    if text.isprintable():
        return text
    return _PATTERN.sub(_escaped, text.replace("\r\n", "\n"))


def in_one_line(text: str) -> str:
    r"""The same with `\n` and `\t` shown too, as names have to be."""
    return _LINE_ENDS.sub(_escaped, visible(text))


def _escaped(found: re.Match[str]) -> str:
    return ascii(found[0])[1:-1]
