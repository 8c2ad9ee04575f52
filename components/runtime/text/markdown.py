"""Values from outside in Markdown: what they hold is shown, and does nothing."""

from __future__ import annotations

import html
import re

from components.runtime.text.visible import visible

_MARKDOWN = re.compile(r"([\\`*_\[\]|~#])")


def markdown_text(value: object) -> str:
    """A value as text in Markdown, also in a table: one line, neither markup nor HTML."""
    return _MARKDOWN.sub(r"\\\1", html.escape(visible(" ".join(str(value).split())), quote=False))


def markdown_code(value: object) -> str:
    """A value as code in Markdown, also in a table."""
    return f"`{visible(' '.join(str(value).split())).replace('`', chr(39)).replace('|', chr(92) + '|')}`"
