"""Every example of README, quickstart and guides runs, page by page, in one folder per page.

Fences `sh` and `python` run. Fences `console` and `text`, a block after `<!-- not run: REASON -->`
and the block after `<!-- test command -->` do not; their number is printed. A `latentaudio` line
runs in this process, other shell lines in bash. Published models are tiny ones of random weights.
Presets have two steps, and guides use a tiny model in place of mini: an example must run. Tests of
the gallery compare what mini and its presets write.
"""

import re
import shlex
import subprocess
import warnings
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import published
import pytest
from conftest import TINY

from latentaudio.cli.main import main
from latentaudio.config.presets import PRESETS
from latentaudio.config.registry import MODELS
from latentaudio.loaders import hub, resolve
from latentaudio.loaders.resolve import resolve_model

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", ROOT / "docs" / "quickstart.md"]
PAGES += sorted((ROOT / "docs" / "guides").glob("*.md"))
NOT_RUN_MARKS = ("<!-- not run:", "<!-- test command -->")
NOT_RUN_FENCES = ("console", "text")
REFUSED_FENCES = ("bash", "shell", "py", "pycon")  # fences that would look like tested ones
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)[^\n]*$")
HERE_DOCUMENT = re.compile(r"<<-?\s*'?(\w+)'?")
SHELL_OPERATORS = set("|&;<>()")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
        language: The word behind the fence.
        code: Its content.
        line: Its line in the page, from 1.
        is_run: Whether the page does not exclude it.
    """

    language: str
    code: str
    line: int
    is_run: bool


def read_blocks(page):
    """The fenced blocks of a page."""
    blocks = []
    lines = page.read_text(encoding="utf-8").splitlines()
    is_excluded = False
    index = 0
    while index < len(lines):
        fence = FENCE.match(lines[index])
        if fence is None:
            text = lines[index].strip()
            if text:  # a mark holds for the next block, if nothing but marks stands between
                is_mark = text.startswith(NOT_RUN_MARKS)
                is_excluded = is_mark or (is_excluded and text.startswith("<!--"))
            index += 1
            continue
        start = index + 1
        index = start
        while not lines[index].strip().startswith("```"):
            index += 1
        indent = len(fence["indent"])
        code = "\n".join(line[indent:] for line in lines[start:index])
        is_run = not is_excluded and fence["language"] not in NOT_RUN_FENCES
        blocks.append(Block(fence["language"], code, start, is_run))
        is_excluded = False
        index += 1
    return blocks


def statements(code):
    """The statements of a shell block: continued lines are joined, here-documents kept."""
    lines = code.splitlines()
    result = []
    index = 0
    while index < len(lines):
        statement = lines[index]
        while statement.endswith("\\"):
            index += 1
            statement = statement[:-1] + lines[index]
        document = HERE_DOCUMENT.search(statement)
        while document and statement.splitlines()[-1].strip() != document[1]:
            index += 1
            statement += "\n" + lines[index]
        if statement.strip() and not statement.lstrip().startswith("#"):
            result.append(statement)
        index += 1
    return result


def command_words(statement):
    """The words of a plain `latentaudio` command; None if it needs a shell."""
    lexer = shlex.shlex(statement, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words = list(lexer)
    needs_shell = any(word and set(word) <= SHELL_OPERATORS for word in words)
    return None if needs_shell or words[0] != "latentaudio" else words[1:]


def run_shell_block(code, folder):
    for statement in statements(code):
        words = command_words(statement)
        if words is None:
            subprocess.run(["bash", "-e", "-c", statement], cwd=folder, check=True)
        else:
            assert main(words) == 0, statement


@cache
def tiny_published(folder, repository):
    """A folder in diffusers' layout with the components of the published model."""
    name = repository.split("/")[-1]
    if "speech" in name or "gigaspeech" in name or "ljspeech" in name:
        pipeline = published.audioldm2((None, 16), speech=True)
    elif name.startswith("audioldm2"):
        pipeline = published.audioldm2()
    else:
        pipeline = published.audioldm()
    return published.save(pipeline, folder / name)


@pytest.fixture
def tiny_hub(monkeypatch, tmp_path_factory):
    """A hub from which every published model comes as a tiny one."""
    folder = tmp_path_factory.getbasetemp() / "tiny-hub"
    folder.mkdir(exist_ok=True)

    def fetch_file(repository, file, *args, **kwargs):
        path = folder / Path(file).name
        if not path.is_file():
            model = resolve_model(tiny_published(folder, repository))
            published.write_checkpoint(model, path)
        return path

    def fetch(repository, *args, **kwargs):
        return tiny_published(folder, repository)

    monkeypatch.setattr(hub, "fetch", fetch)
    monkeypatch.setattr(hub, "fetch_file", fetch_file)


@pytest.fixture
def few_steps(monkeypatch):
    """Presets of two steps, but for those of a distilled UNet, which has steps of its own."""
    for name, preset in list(PRESETS.items()):
        settings = {**preset.settings, "steps": 2}
        monkeypatch.setitem(PRESETS, name, replace(preset, settings=settings))


@pytest.fixture
def model_of_page(page, tiny_folder, tmp_path_factory, monkeypatch):
    """README, quickstart and speech use the bundled models, other guides a tiny one named mini."""
    if page.parent.name == "guides" and page.stem != "speech":
        assets = tmp_path_factory.mktemp("assets")
        (assets / "mini").symlink_to(tiny_folder)
        monkeypatch.setattr(resolve, "ASSETS", assets)
    if page.stem == "fine-tuning":  # a run builds the architecture of the table
        monkeypatch.setitem(MODELS, "mini", replace(MODELS["mini"], config=TINY))


@pytest.mark.usefixtures("tiny_hub", "few_steps", "model_of_page")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_run(page, tmp_path, monkeypatch, record_property):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # `main` replaces it
    names = {"__name__": "__main__"}
    num_run = num_skipped = 0
    for block in read_blocks(page):
        assert block.language not in REFUSED_FENCES, f"{page}:{block.line}: use sh or python"
        if not block.is_run:
            num_skipped += 1
            continue
        if block.language == "sh":
            run_shell_block(block.code, tmp_path)
        elif block.language == "python":
            exec(compile("\n" * block.line + block.code, str(page), "exec"), names)
        else:
            continue
        num_run += 1
    counts = f"{num_run} blocks run, {num_skipped} not run"
    record_property(str(page.relative_to(ROOT)), counts)


def test_marks_and_fences_select_blocks(tmp_path):
    page = tmp_path / "page.md"
    text = (
        "a\n\n```sh\nls\n```\n<!-- not run: slow -->\n\n```python\n1\n```\n```console\n$ ls\n```\n"
    )
    text += "<!-- test command -->\n```sh\npytest\n```\n```python\n2\n```\n"
    page.write_text(text)
    assert [block.is_run for block in read_blocks(page)] == [True, False, False, False, True]


def test_shell_statements_are_told_from_commands():
    code = (
        "latentaudio info \\\n  'a b.wav'\ncat > x <<'END'\na, b\nEND\nlatentaudio models | head\n"
    )
    first, second, third = statements(code)
    assert command_words(first) == ["info", "a b.wav"]
    assert second == "cat > x <<'END'\na, b\nEND"
    assert command_words(second) is None
    assert command_words(third) is None
