"""Print figures on the style of a source tree: line lengths, density, names, ceilings.

    python scripts/style_figures.py [ROOT ...] [--files]

ROOT is a folder of Python files (default: src), which may be of another checkout. `--files` also
prints the figures of every file and each place that breaks a rule. The rules themselves are tested
by tests/test_style.py, with the functions of this file.
"""

from __future__ import annotations

import argparse
import ast
import io
import sys
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

MAX_COLUMNS = 100
MAX_FILE_LINES = 450
MAX_FUNCTION_LINES = 60
MAX_COMPREHENSION_LOOPS = 2
MAX_TUPLE_ASSIGNMENTS = 1.0  # per 100 lines, over the whole tree
MAX_COMPREHENSIONS = 3.0  # per 100 lines, over the whole tree

RETIRED_WORDS = frozenset((
    "wishes", "asked", "said", "heard", "told", "made", "dice", "voices", "voice", "reading",
    "sounding", "sounded", "leaps", "deep", "way", "how", "kept", "whole", "found", "given",
    "lent", "tries", "chances", "share", "fold", "unfold", "beats", "judge", "verdict", "foreign",
    "worded", "guidable", "dressed", "fitted", "blank", "strangers", "nobodys", "sayable", "homes",
    "begun", "together", "hiss", "sung", "held", "played", "blended", "lopsided", "looked",
    "turned",
))  # fmt: skip
"""Words of the project's first month that must not come back as identifiers."""

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_CACHES = ("lru_cache", "cache")
_DIRECTIVES = ("# fmt:", "# type:", "# noqa", "# ruff:", "# mypy:", "#!")


@dataclass(frozen=True)
class Place:
    """A place that breaks a rule.

    Attributes:
        line: line number in the file.
        text: what is there.
    """

    line: int
    text: str


@dataclass
class FileStyle:
    """Figures of one file.

    Attributes:
        path: the file.
        lines: number of lines.
        comprehensions: number of comprehensions and generator expressions.
        tuple_assignments: number of assignments of a tuple literal to several targets.
        comments: number of comments, without those that steer tools.
        long_lines: lines over 100 columns.
        long_functions: functions over 60 lines.
        retired_names: identifiers that bind a retired word.
        unrelated_tuples: tuple assignments whose values have nothing in common.
        deep_comprehensions: comprehensions with more than two `for`.
        nested_conditionals: conditional expressions inside conditional expressions.
        hidden_state: `lru_cache` or `cycle` used as state, and `locals()`.
    """

    path: Path
    lines: int = 0
    comprehensions: int = 0
    tuple_assignments: int = 0
    comments: int = 0
    long_lines: list[Place] = field(default_factory=list)
    long_functions: list[Place] = field(default_factory=list)
    retired_names: list[Place] = field(default_factory=list)
    unrelated_tuples: list[Place] = field(default_factory=list)
    deep_comprehensions: list[Place] = field(default_factory=list)
    nested_conditionals: list[Place] = field(default_factory=list)
    hidden_state: list[Place] = field(default_factory=list)


def measure_file(path: Path) -> FileStyle:
    """Return the figures of a Python file."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    style = FileStyle(path)
    lines = source.splitlines()
    style.lines = len(lines)
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_COLUMNS:
            style.long_lines.append(Place(number, f"{len(line)} columns"))
    style.comments = _count_comments(source)
    decorators = _decorators(tree)
    for node in ast.walk(tree):
        _count_node(node, style)
        _check_node(node, style, decorators)
    return style


def measure_tree(root: Path) -> list[FileStyle]:
    """Return the figures of all Python files below a folder."""
    return [measure_file(path) for path in sorted(root.rglob("*.py"))]


def per_100_lines(styles: Sequence[FileStyle], name: str) -> float:
    """Return a count of `FileStyle` per 100 lines, over all files."""
    total = sum(getattr(style, name) for style in styles)
    lines = sum(style.lines for style in styles)
    return 100 * total / max(1, lines)


def _count_comments(source: str) -> int:
    count = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and not token.string.startswith(_DIRECTIVES):
            count += 1
    return count


def _decorators(tree: ast.AST) -> set[int]:
    """Identities of all decorator nodes."""
    nodes: set[int] = set()
    for node in ast.walk(tree):
        nodes.update(map(id, getattr(node, "decorator_list", ())))
    return nodes


def _count_node(node: ast.AST, style: FileStyle) -> None:
    if isinstance(node, _COMPREHENSIONS):
        style.comprehensions += 1
        if len(node.generators) > MAX_COMPREHENSION_LOOPS:
            text = f"comprehension with {len(node.generators)} `for`"
            style.deep_comprehensions.append(Place(node.lineno, text))
    if isinstance(node, ast.Assign) and _is_tuple_assignment(node):
        style.tuple_assignments += 1
        if not _are_related(node):
            style.unrelated_tuples.append(Place(node.lineno, ast.unparse(node)[:80]))
    if isinstance(node, _FUNCTIONS):
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > MAX_FUNCTION_LINES:
            style.long_functions.append(Place(node.lineno, f"{node.name}: {length} lines"))


def _check_node(node: ast.AST, style: FileStyle, decorators: set[int]) -> None:
    for name, line in _bound_names(node):
        if name.strip("_").lower() in RETIRED_WORDS:
            style.retired_names.append(Place(line, name))
    if isinstance(node, ast.IfExp):
        branches = (node.test, node.body, node.orelse)
        if any(isinstance(branch, ast.IfExp) for branch in branches):
            style.nested_conditionals.append(Place(node.lineno, ast.unparse(node)[:80]))
    if isinstance(node, ast.Call) and _hides_state(node, decorators):
        style.hidden_state.append(Place(node.lineno, ast.unparse(node)[:80]))


def _bound_names(node: ast.AST) -> Iterator[tuple[str, int]]:
    """(name, line) of every identifier that a node binds."""
    line = getattr(node, "lineno", 0)
    match node:
        case ast.Name(id=name, ctx=ast.Store()):
            yield name, line
        case ast.Attribute(attr=name, ctx=ast.Store()):
            yield name, line
        case ast.arg(arg=name):
            yield name, line
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name, line
        case ast.alias(asname=str(name)) | ast.ExceptHandler(name=str(name)):
            yield name, line
        case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
            yield name, line


def _is_tuple_assignment(node: ast.Assign) -> bool:
    """Whether a tuple literal is unpacked: `a, b = 1, 2`."""
    return isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple)


def _are_related(node: ast.Assign) -> bool:
    """Whether the values of a tuple assignment belong together, as far as syntax can tell.

    They do if they use the targets (a swap or a simultaneous update), or if they are the same
    expression of different arguments: the same function called, attributes or items of the same
    object, or the same attribute of several objects.
    """
    targets = {n.id for n in ast.walk(node.targets[0]) if isinstance(n, ast.Name)}
    used = {n.id for n in ast.walk(node.value) if isinstance(n, ast.Name)}
    if targets & used:
        return True
    assert isinstance(node.value, ast.Tuple)
    heads = {_expression_head(value) for value in node.value.elts}
    attributes = {getattr(value, "attr", None) for value in node.value.elts}
    same_attribute = len(attributes) == 1 and None not in attributes
    return same_attribute or (len(heads) == 1 and None not in heads)


def _expression_head(node: ast.AST) -> str | None:
    """The function of a call, or the object of an attribute or item; None for anything else."""
    match node:
        case ast.Call(func=head) | ast.Attribute(value=head) | ast.Subscript(value=head):
            return f"{type(node).__name__} {ast.dump(head)}"
        case _:
            return None


def _hides_state(node: ast.Call, decorators: set[int]) -> bool:
    """Whether a call is `cycle(...)`, `locals()` or `lru_cache` other than as a decorator."""
    function = node.func
    if isinstance(function, ast.Call):  # lru_cache(maxsize=4)(function)
        return _name_of(function.func) in _CACHES
    name = _name_of(function)
    if name in ("cycle", "locals"):
        return True
    is_cache_of_function = name in _CACHES and bool(node.args) and id(node) not in decorators
    return is_cache_of_function and not isinstance(node.args[0], ast.Constant)


def _name_of(node: ast.AST) -> str | None:
    match node:
        case (
            ast.Name(id=name)
            | ast.Attribute(value=ast.Name(id="functools" | "itertools"), attr=name)
        ):
            return name
        case _:
            return None


RULES = {
    "long_lines": f"lines over {MAX_COLUMNS} columns",
    "long_functions": f"functions over {MAX_FUNCTION_LINES} lines",
    "retired_names": "retired words bound",
    "unrelated_tuples": "tuple assignments of unrelated values",
    "deep_comprehensions": f"comprehensions with over {MAX_COMPREHENSION_LOOPS} `for`",
    "nested_conditionals": "nested conditional expressions",
    "hidden_state": "caches, cycles and locals() as state",
}
"""Field of `FileStyle` -> what its places are."""


def _print_summary(root: Path, styles: Sequence[FileStyle]) -> None:
    lines = sum(style.lines for style in styles)
    long_lines = sum(len(style.long_lines) for style in styles)
    big_files = [style.path.name for style in styles if style.lines > MAX_FILE_LINES]
    print(f"{root}: {len(styles)} files, {lines} lines")
    print(f"  {100 * long_lines / max(1, lines):.1f} % of lines over {MAX_COLUMNS} columns")
    for name in ("comprehensions", "tuple_assignments", "comments"):
        print(f"  {per_100_lines(styles, name):.1f} {name.replace('_', ' ')} per 100 lines")
    print(f"  {len(big_files)} files over {MAX_FILE_LINES} lines: {', '.join(big_files) or 'none'}")
    for name, description in RULES.items():
        print(f"  {sum(len(getattr(style, name)) for style in styles)} {description}")


def _print_files(styles: Sequence[FileStyle]) -> None:
    for style in styles:
        print(
            f"{style.path}: {style.lines} lines, {style.comprehensions} comprehensions, "
            f"{style.tuple_assignments} tuple assignments, {style.comments} comments"
        )
        for name, description in RULES.items():
            for place in getattr(style, name):
                print(f"  {style.path}:{place.line}: {description}: {place.text}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures of the folders named on the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("roots", nargs="*", type=Path, default=[Path("src")], metavar="ROOT")
    parser.add_argument("--files", action="store_true", help="also print every file and place")
    flags = parser.parse_args(arguments)
    for root in flags.roots:
        styles = measure_tree(root)
        if not styles:
            print(f"{root} contains no Python files", file=sys.stderr)
            return 2
        if flags.files:
            _print_files(styles)
        _print_summary(root, styles)
    return 0


if __name__ == "__main__":
    sys.exit(main())
