"""The house rules, enforced: who may import whom, no cycles, ceilings (ARCHITECTURE.md)."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "latentaudio"
FILES = sorted(PACKAGE.rglob("*.py"))

FLOOR = {"errors", "configs", "presets", "variants", "options", "fidelity"}
ALLOWED = {
    "errors": set(),
    "files": {"errors"},
    "configs": {"errors"},
    "presets": {"configs"},
    "variants": {"configs", "presets", "errors"},
    "options": {"presets", "errors"},
    "fidelity": {"errors"},
    "types": {"configs"},
    "device": {"errors"},
    "audio": {"configs", "errors", "types", "options", "files"},
    "nn": {"configs", "errors", "types"},
    "diffusion": {"configs", "errors", "types"},
    "data": {"audio", "errors", "files"},
    "conditioning": {"fidelity", "nn", "audio", "types", "configs", "errors"},
    "weights": {"fidelity", "variants", "nn", "conditioning", "types", "configs", "errors", "files"},
    "rank": {"fidelity", "conditioning", "audio", "nn", "types", "configs", "errors"},
    "memory": {"weights", "configs", "options", "errors"},
    "codec": {"audio", "nn", "weights", "types"},
    "asking": {"conditioning", "weights", *FLOOR},
    "score": {"options", "errors"},
    "hearing": {"codec", "score", "conditioning", "nn", "audio", "weights", "types", "options"},
    "edits": {"codec", "conditioning", "audio", "types", "options", "configs", "errors"},
    "verbs": {"audio", "options", "score", "errors"},
    "pipeline": {
        "asking", "codec", "score", "hearing", "edits", "verbs", "memory", "rank", "conditioning", "diffusion", "nn", "audio",
        "weights", "types", *FLOOR, "device",
    },
    "compat": {"pipeline", "conditioning", "diffusion", "weights", "types", "errors"},
    "train": {"fidelity", "data", "nn", "diffusion", "conditioning", "weights", "audio", "types", "files", *FLOOR, "device"},
    "evaluate": {"pipeline", "data", "nn", "diffusion", "conditioning", "weights", "audio", "types", "files", *FLOOR, "device"},
}  # fmt: skip
"""Room -> rooms it may import. `cli` and the package's own `__init__` may import everything, lazily."""


def room(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports(path: Path) -> set[str]:
    """Full dotted names of the package's modules that a file imports, anywhere in it."""
    here = ["latentaudio", *path.relative_to(PACKAGE).with_suffix("").parts]
    package = here[:-1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            stem = [*base, *(node.module.split(".") if node.module else [])]
            found |= {".".join(stem)} if node.module else {".".join([*stem, alias.name]) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("latentaudio"):
            found.add(node.module)
    return found


def test_rooms_import_downwards_only():
    wrong = []
    for path in FILES:
        mine = room(path)
        if mine in ("cli", "__init__", "__main__"):
            continue
        for name in imports(path):
            other = name.split(".")[1] if "." in name else ""
            if other and other != mine and other not in ALLOWED[mine]:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_no_module_imports_itself_in_a_circle():
    dotted = [".".join(["latentaudio", *p.relative_to(PACKAGE).with_suffix("").parts]) for p in FILES]
    names = {name.removesuffix(".__init__"): path for name, path in zip(dotted, FILES, strict=True)}
    graph = {name: {i for i in imports(path) if i in names and i != name} for name, path in names.items()}
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join([*trail[trail.index(name) :], name])
        if name not in done:
            for other in sorted(graph[name]):
                visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


@pytest.mark.parametrize("module", sorted(FLOOR))
def test_the_floor_knows_no_torch(module):
    code = f"import sys, latentaudio.{module}; assert 'torch' not in sys.modules, 'torch was imported'"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_ceilings():
    lines = {path: path.read_text().count("\n") for path in FILES}
    kinds = {path: count for path, count in lines.items() if "render" in path.parts}
    assert sum(lines.values()) - sum(kinds.values()) <= 17_000
    assert sum(kinds.values()) <= 5_000
    assert max(lines.values()) <= 450
    assert median(lines.values()) <= 150
    long = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno + 1 > 60:
                long.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert not long, "\n".join(long)


def test_nothing_lies_in_a_drawer_for_everything():
    assert not [p for p in FILES if p.stem in ("utils", "common", "helpers", "misc")]


def test_every_file_says_what_it_knows():
    bare = [str(p.relative_to(ROOT)) for p in FILES if not ast.get_docstring(ast.parse(p.read_text()))]
    assert not bare, bare


def test_no_underscore_calls_into_dependencies():
    # but operators of torch.ops.mkldnn, which have no other names: `nn.packed.available` tries them before they are used
    pattern = re.compile(
        r"\b(torch(?!\.ops\.mkldnn)|transformers|diffusers|soundfile|soxr|scipy|numpy|np)(\.\w+)*\._[a-z]\w*\("
    )
    wrong = [f"{p.relative_to(ROOT)}: {m.group()}" for p in FILES if (m := pattern.search(p.read_text()))]
    assert not wrong, wrong
