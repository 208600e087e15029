"""The pages of the documentation, for the tests: their code blocks, the commands in their text, their headings.

A block of commands (```sh) is run by tests/test_docs_commands.py unless a comment stands above it that says why not:

    <!-- not run: needs a GPU -->
"""

import re
import textwrap
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", *sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.md"))]
BLOCK = re.compile(r"^( *)(?:<!-- not run: (.+?) -->\n *)?```(\w*)\n(.*?)\n *```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A code block: its language, its text, and why it is not run, None where it is."""

    language: str
    text: str
    not_run: str | None


def read(page):
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page):
    """The code blocks of a page."""
    found = BLOCK.findall(read(page))
    return [Block(language, textwrap.dedent(text), reason or None) for _, reason, language, text in found]


def commands(text):
    """The commands of a block that begin with `python`, each on one line."""
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [line for line in lines if line.startswith("python ")]


def mentioned(page):
    """The commands `python …` that stand in the text of a page and in its blocks that are not run."""
    text = BLOCK.sub("", read(page))
    inline = [" ".join(code.split()) for code in re.findall(r"`(python [^`]+)`", text)]
    return inline + [line for block in blocks(page) if block.not_run for line in commands(block.text)]


def headings(page):
    """The titles of a page's headings, in order."""
    return re.findall(r"^#{1,6} (.+)$", BLOCK.sub("", read(page)), re.MULTILINE)


def anchor(title):
    """The anchor of a heading, as code hosts make it."""
    return re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()).replace(" ", "-")
