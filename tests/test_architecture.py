"""The rules of ARCHITECTURE.md, enforced: who may import whom, no cycles, ceilings."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src"
FILES = sorted(SOURCE.rglob("*.py"))

BASE = {"config", "types", "errors"}
CORE = {"loaders", "conditioning", "diffusion", "models", "audio", "fileio", "device", *BASE}
CORE |= {"backends"}
ALLOWED = {
    "errors": set(),
    "device": {"config", "errors"},
    "fileio": {"errors"},
    "interrupts": set(),
    "config": {"errors"},
    "types": {"config", "errors"},
    "audio": {"config", "types", "errors", "fileio"},
    "models": BASE,
    "diffusion": BASE,
    "backends": {"models", *BASE},
    "conditioning": {"models", "audio", *BASE},
    "data": {"audio", "fileio", *BASE},
    "loaders": {"backends", "conditioning", "models", "fileio", *BASE},
    "codec": {"loaders", "models", "audio", "device", *BASE},
    "editing": {"codec", "conditioning", "audio", *BASE},
    "generation": {"editing", "codec", *CORE},
    "pipeline": {"generation", "editing", "codec", *CORE},
    "compat": {"pipeline", "generation", "editing", "codec", *CORE},
    "export": {"codec", *CORE},
    "train": {"data", "procedural_audio", "interrupts", *CORE},
    "evaluate": {"pipeline", "generation", "train", "data", "procedural_audio", *CORE},
    "benchmark": {"pipeline", "generation", "train", "data", "procedural_audio", *CORE},
    "serve": {"pipeline", "generation", "editing", *CORE},
    "client": {"serve", "config", "errors", "fileio"},
    "procedural_audio": set(),
}
"""Package or module -> those it may import. `cli` and `__init__` may import all, lazily."""


def top(dotted: str) -> str:
    """The package or module of the import table that a dotted module name belongs to."""
    first, *rest = dotted.split(".")
    if first != "latentaudio":
        return first
    return rest[0] if rest else "__init__"


def dotted_name(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> set[str]:
    """Full dotted names of our own modules that a file imports, anywhere in it."""
    package = list(path.relative_to(SOURCE).parts[:-1])
    result: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = [*base, *(node.module.split(".") if node.module else [])]
            if stem[0] in ("latentaudio", "procedural_audio"):
                names = {".".join([*stem, alias.name]) for alias in node.names}
                result |= {name if name in MODULES else ".".join(stem) for name in names}
    return result


MODULES = {dotted_name(path): path for path in FILES}


def test_packages_import_downwards_only():
    wrong = []
    for name, path in MODULES.items():
        mine = top(name)
        if mine in ("cli", "__init__", "__main__"):
            continue
        for other in imports(path):
            if top(other) != mine and top(other) not in ALLOWED[mine]:
                wrong.append(f"{path.relative_to(ROOT)} imports {other}")
    assert not wrong, "\n".join(wrong)


def test_no_module_imports_itself_in_a_circle():
    graph = {
        name: {i for i in imports(path) if i in MODULES and i != name}
        for name, path in MODULES.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in done:
            for other in sorted(graph[name]):
                visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize(
    "module", sorted(m for m in MODULES if top(m) in ("config", "errors", "__init__"))
)
def test_config_needs_no_torch(module):
    code = f"import sys, {module}; assert 'torch' not in sys.modules, 'torch was imported'"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_ceilings():
    lines = {path: path.read_text().count("\n") for path in FILES}
    assert max(lines.values()) <= 450
    long = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                and (node.end_lineno or 0) - node.lineno + 1 > 60
            ):
                long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert not long, "\n".join(long)


def test_nothing_lies_in_a_drawer_for_everything():
    assert not [p for p in FILES if p.stem in ("utils", "common", "helpers", "misc")]


def test_every_file_has_a_docstring():
    bare = [
        str(p.relative_to(ROOT)) for p in FILES if not ast.get_docstring(ast.parse(p.read_text()))
    ]
    assert not bare, bare


def test_no_underscore_calls_into_dependencies():
    # torch.ops.mkldnn has no public names; `models.cpu_packing.available` tries it before use
    pattern = re.compile(
        r"\b(torch(?!\.ops\.mkldnn)|transformers|diffusers|soundfile|soxr|scipy|numpy|np)"
        r"(\.\w+)*\._[a-z]\w*\("
    )
    wrong = [
        f"{p.relative_to(ROOT)}: {m.group()}" for p in FILES if (m := pattern.search(p.read_text()))
    ]
    assert not wrong, wrong


@pytest.mark.parametrize(
    ("pattern", "room"),
    [
        (r"\bjson\w*\.loads?\(|\byaml\.\w*load\w*\(", "latentaudio/config/parsing.py"),
        (r"\bImage\.open\(", "latentaudio/editing/drawn_mask.py"),
        (r"\btorch\.load\((?![^)]*weights_only=True)", "nowhere"),
        (r"\bpickle\.loads?\(|\bnp\.load\((?![^)]*allow_pickle=False)", "nowhere"),
    ],
)
def test_files_of_strangers_are_opened_in_one_place(pattern, room):
    wrong = []
    for path in FILES:
        name = str(path.relative_to(SOURCE))
        if name.startswith("latentaudio") and not name.startswith(room):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if re.search(pattern, line) and "``" not in line:
                    wrong.append(f"{name}:{number}: {line.strip()}")
    assert not wrong, "\n".join(wrong)
