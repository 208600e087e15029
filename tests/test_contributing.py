"""CONTRIBUTING.md holds the very code that the tests of the recipes put in place; what the pages name is there."""

import ast
import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RECIPES = {
    "test_recipes_network_and_loss.py": ("NETWORK", "NETWORK_LINE", "LOSS", "LOSS_LINE"),
    "test_recipes_augmentation.py": ("TOY",),
    "test_recipes_dataset.py": ("TOY", "LINE"),
}


def constants(file):
    """The strings that a test module assigns to names in capitals."""
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    pairs = [(node.targets[0].id, node.value) for node in tree.body if isinstance(node, ast.Assign)]
    return {name: value.value for name, value in pairs if isinstance(value, ast.Constant)}


def text_of(code):
    """Code without indentation and empty lines, as it may stand in a list of the page."""
    return [line.strip() for line in textwrap.dedent(code).splitlines() if line.strip()]


@pytest.mark.parametrize("file", RECIPES)
def test_the_recipe_is_what_the_test_does(file):
    page = "\n".join(text_of((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))
    strings = constants(file)
    for name in RECIPES[file]:
        assert "\n".join(text_of(strings[name])) in page, f"{name} of {file} is not in CONTRIBUTING.md"


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in ROOT.glob("docs/*.md"))])
def test_the_files_that_a_page_names_are_there(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:[\w-]+/)+[\w-]+\.(?:py|yaml|csv|md))`", text))
    named |= set(re.findall(r"\]\((?!http)([^)#]+)\)", text))  # links
    named = {name for name in named if not re.search(r"\b(PACKAGE|NAME|DIR)\b", name)}
    places = (ROOT, (ROOT / page).parent)
    assert not [name for name in sorted(named) if not any((place / name).exists() for place in places)]
