"""The rules of style of CONTRIBUTING.md, enforced: names, density, ceilings."""

import ast
import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src"

spec = importlib.util.spec_from_file_location("style_figures", ROOT / "scripts/style_figures.py")
style_figures = importlib.util.module_from_spec(spec)
sys.modules["style_figures"] = style_figures  # dataclasses look their module up there
spec.loader.exec_module(style_figures)

STYLES = style_figures.measure_tree(SOURCE)


def places(styles, name):
    """Every place that breaks a rule, as `file:line text`."""
    result = []
    for style in styles:
        for place in getattr(style, name):
            result.append(f"{style.path.relative_to(ROOT)}:{place.line} {place.text}")
    return result


@pytest.mark.parametrize("rule", list(style_figures.RULES))
def test_no_place_in_the_source_breaks_the_rule(rule):
    broken = places(STYLES, rule)
    assert not broken, f"{style_figures.RULES[rule]}:\n" + "\n".join(broken)


def test_no_line_of_tests_scripts_and_recipes_is_over_100_columns():
    styles = []
    for folder in ("tests", "benchmarks", "recipes", "scripts", "docs"):
        styles += style_figures.measure_tree(ROOT / folder)
    broken = places(styles, "long_lines")
    assert not broken, "\n".join(broken)


def test_no_file_is_over_450_lines():
    assert not [f"{s.path}: {s.lines}" for s in STYLES if s.lines > style_figures.MAX_FILE_LINES]


def test_comprehensions_are_few():
    density = style_figures.per_100_lines(STYLES, "comprehensions")
    assert density <= style_figures.MAX_COMPREHENSIONS


def test_tuple_assignments_are_few():
    density = style_figures.per_100_lines(STYLES, "tuple_assignments")
    assert density <= style_figures.MAX_TUPLE_ASSIGNMENTS


EXAMPLES = [
    ("long_lines", "x = '" + 100 * "a" + "'\n", 1),
    ("long_functions", "def f():\n" + 60 * "    pass\n", 1),
    ("long_functions", "def f():\n" + 59 * "    pass\n", 0),
    ("retired_names", "def wishes(): pass\n", 1),
    ("retired_names", "def f(voice): pass\n", 1),
    ("retired_names", "self._kept = 1\n", 1),
    ("retired_names", "for HEARD in range(3): pass\n", 1),
    ("retired_names", "from x import y as judge\n", 1),
    ("retired_names", "class Verdict: pass\n", 1),
    ("retired_names", "keep_whole = f(judge=2)\nprint(made)\n", 0),
    ("unrelated_tuples", "a, b = 1, 2\n", 1),
    ("unrelated_tuples", "a, b = x.y, f(2)\n", 1),
    ("unrelated_tuples", "a, b = b, a + b\n", 0),
    ("unrelated_tuples", "width, height = image.width, image.height\n", 0),
    ("unrelated_tuples", "first, second = read('a'), read('b')\n", 0),
    ("unrelated_tuples", "name, value = f(x)\n", 0),
    ("deep_comprehensions", "z = [a for b in c for d in b for a in d]\n", 1),
    ("deep_comprehensions", "z = [a for b in c for a in b]\n", 0),
    ("nested_conditionals", "z = 1 if a else 2 if b else 3\n", 1),
    ("nested_conditionals", "z = 1 if a else 2\n", 0),
    ("hidden_state", "f = lru_cache(maxsize=2)(lambda x: x)\n", 1),
    ("hidden_state", "f = functools.cache(g)\n", 1),
    ("hidden_state", "f = itertools.cycle([1, 2])\n", 1),
    ("hidden_state", "f(**locals())\n", 1),
    ("hidden_state", "@lru_cache(maxsize=2)\ndef f(x): pass\n", 0),
    ("hidden_state", "@cache\ndef f(x): pass\n", 0),
]


@pytest.mark.parametrize(("rule", "code", "count"), EXAMPLES)
def test_a_rule_finds_its_own_examples(rule, code, count, tmp_path):
    file = tmp_path / "example.py"
    file.write_text(code)
    ast.parse(code)
    assert len(getattr(style_figures.measure_file(file), rule)) == count


def test_comments_are_counted_without_those_for_tools(tmp_path):
    file = tmp_path / "example.py"
    file.write_text("# why\nx = 1  # unit\ny = '# no'  # fmt: skip\n")
    assert style_figures.measure_file(file).comments == 2


def test_the_script_prints_a_summary_of_any_folder(tmp_path, capsys):
    (tmp_path / "example.py").write_text("heard, b = 1, 2\n")
    assert style_figures.main([str(tmp_path), "--files"]) == 0
    shown = capsys.readouterr().out
    assert "100.0 tuple assignments per 100 lines" in shown
    assert "example.py:1: retired words bound: heard" in shown
    assert style_figures.main([str(tmp_path / "empty")]) == 2
