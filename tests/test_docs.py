"""The documentation says what the code does: links, generated pages, messages, options, columns."""

import ast
import importlib.util
import json
import re
import shlex
from pathlib import Path

import pytest
from doc_pages import PAGES, ROOT, anchor, blocks, headings, mentioned, read

import config
import model

spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
generate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(generate)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page):
    links = re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", read(page))
    wrong = []
    for file, part in links:
        target = (ROOT / page).parent / file if file else ROOT / page
        if not target.exists():
            wrong.append(file)
        elif part and part not in map(anchor, headings(target.resolve().relative_to(ROOT).as_posix())):
            wrong.append(f"{file}#{part}")
    assert not wrong


@pytest.mark.parametrize("page", [page for page in PAGES if page != "docs/index.md"])
def test_every_page_can_be_reached(page):
    linked = {f"docs/{file}" for file in re.findall(r"\]\(([^)#\s]+)", read("docs/index.md"))}
    assert page in linked or page == "README.md"


@pytest.mark.parametrize("page", PAGES)
def test_blocks_say_their_language(page):
    assert {block.language for block in blocks(page)} <= {"sh", "python", "yaml", "text"}
    assert read(page).count("```") == 2 * len(blocks(page))


@pytest.mark.parametrize("name", generate.PAGES)
def test_pages_made_of_the_code_are_as_it_makes_them(name):
    there = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert there == generate.PAGES[name](), "python docs/generate.py writes them anew"


def test_the_notebook_has_every_command_of_the_tutorial():
    cells = json.loads((ROOT / "docs/tutorial.ipynb").read_text(encoding="utf-8"))["cells"]
    run = [line.strip() for cell in cells if cell["cell_type"] == "code" for line in cell["source"]]
    wanted = [line for block in blocks("docs/tutorial.md") if block.language == "sh" and not block.not_run
              for line in block.text.splitlines()]  # fmt: skip
    assert run == ["%cd ..", *(line.replace("python ", "%run ", 1) for line in wanted)]


# === Messages ===


def template(node):
    """A string of the code as a regular expression, each value in it any text; None where it is no string."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.escape(re.sub(r"\s+", " ", node.value))
    if isinstance(node, ast.JoinedStr):
        return "".join(template(part) or ".+?" for part in node.values)
    return None


def messages():
    """Regular expressions of all strings of some length in the program."""
    found = set()
    for path in [*ROOT.glob("*.py"), *ROOT.glob("[a-z]*/**/*.py")]:
        if path.relative_to(ROOT).parts[0] not in ("tests", "docs", "benchmarks", "experiments"):
            found |= {template(node) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))}
    return [re.compile(one) for one in found if one and len(re.sub(r"\.\+\?|\W", "", one)) >= 12]


def test_headings_of_troubleshooting_are_messages_of_the_program():
    known = messages()
    parts = [title for title in headings("docs/troubleshooting.md") if len(title.split()) > 3]
    assert len(parts) > 30
    assert not [title for title in parts if not any(one.fullmatch(title) for one in known)]


# === Options ===


def options_of(typed):
    """The help of a command such as `train.py` or `-m datasets`, of all its subcommands; None where it has no page."""
    if typed not in generate.COMMANDS:
        return None
    module, subcommands, _ = generate.COMMANDS[typed]
    loaded = __import__(module, fromlist=["main"])
    return "".join(generate.help_of(loaded, words) for words in ((), *((name,) for name in subcommands)))


@pytest.fixture(scope="module")
def helps():
    return {typed: options_of(typed) for typed in generate.COMMANDS}


@pytest.mark.parametrize("page", PAGES)
def test_commands_that_are_not_run_have_options_and_files_that_there_are(page, helps):
    wrong = []
    for line in mentioned(page):
        words = shlex.split(line, comments=True)[1:]
        typed = " ".join(words[:2]) if words[:1] == ["-m"] else words[0]
        if typed == "-c":
            continue
        if typed not in helps:
            module = words[1] if words[0] == "-m" else ""
            exists = importlib.util.find_spec(module) if module else (ROOT / typed).is_file()
            wrong += [] if exists else [line]
            continue
        names = [word.split("=")[0].split(".")[0] for word in words if word.startswith("--")]
        wrong += [f"{line}: {name}" for name in names if not re.search(rf"{name}\b", helps[typed])]
        wrong += [f"{line}: {word}" for word in words if word.startswith("configs/") and not list(ROOT.glob(word))]
    assert not wrong


@pytest.mark.parametrize("page", PAGES)
def test_trainings_that_are_not_run_have_settings_that_fit(page, tmp_path, monkeypatch):
    for name in ("mine.yaml", "study.yaml", "trial.yaml"):
        (tmp_path / name).write_text("model: unet\n")
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    for line in mentioned(page):
        words = shlex.split(line, comments=True)[1:]
        if words[0] == "train.py" and "--help" not in words:
            settings, _ = config.parse([word for word in words[1:] if word != "…"])
            assert settings.model in model.REGISTRY


@pytest.mark.parametrize("page", PAGES)
def test_configurations_fit(page, tmp_path):
    for number, block in enumerate(block for block in blocks(page) if block.language == "yaml"):
        file = tmp_path / f"c{number}.yaml"
        file.write_text(block.text)
        settings, _ = config.parse(["--config", str(file)])
        assert settings.model in model.REGISTRY


# === Tables ===


def test_the_table_of_networks_is_that_of_the_registry():
    rows = re.findall(
        r"^\| `(\w+)` \| [\d,]+ \| .*? \| .*? \| ([\d× ]+) \| (\w+) \|", read("docs/reference/networks.md"), re.M
    )
    wanted = [(name, " × ".join(map(str, one.input_shape)), one.normalization) for name, one in model.REGISTRY.items()]
    assert rows == wanted


def test_numbers_of_the_readme_stand_among_the_results():
    table = read("README.md").split("## Results")[1].split("## Documentation")[0]
    numbers = set(re.findall(r"0\.\d{3}", table))
    assert len(numbers) > 10
    assert not [number for number in numbers if number not in read("docs/results.md")]


def test_pictures_of_the_documentation_are_used():
    text = "".join(map(read, PAGES))
    pictures = [path.name for kind in ("png", "jpg") for path in Path(ROOT, "docs").glob(f"*.{kind}")]
    assert not [name for name in pictures if name not in text]
