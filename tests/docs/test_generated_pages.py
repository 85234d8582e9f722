"""The pages that scripts/generate_reference.py writes are the committed ones."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
SCRIPT = ROOT / "scripts" / "generate_reference.py"


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("generate_reference", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["cli.md", "options.md", "configuration-keys.md"])
def test_generated_page_is_up_to_date(generator, name):
    committed = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
    assert committed == generator.PAGES[name](), "run python scripts/generate_reference.py"


def test_every_option_is_on_the_options_page(generator):
    from latentaudio.config.options import GenerationOptions, PromptCue

    page = generator.options_page()
    for name in (*GenerationOptions.model_fields, *PromptCue.model_fields):
        assert f"| `{name}` |" in page, name


def test_every_command_has_a_section(generator):
    from latentaudio.cli.main import COMMANDS

    lines = generator.cli_page().splitlines()
    for command in COMMANDS:
        assert f"## {command.name}" in lines, command.name


def test_every_flag_has_its_name_and_the_default_of_its_help(generator):
    rows = [line for line in generator.cli_page().splitlines() if line.startswith("|")]
    assert not [row for row in rows if row.startswith("|  |")]
    assert any(row.startswith("| `--no-warm-up` | switch |") for row in rows)
    assert any(row.startswith("| `--drain-seconds` | number | `30` |") for row in rows)
    assert any(row.startswith("| `--host` | text | `127.0.0.1` |") for row in rows)
    assert any(row.startswith("| `--model` | list: text | `mini` |") for row in rows)
