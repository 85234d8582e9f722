"""JSON and YAML of strangers: every kind of damage is a ValueError of one line, at once."""

import time
from pathlib import Path

import pytest

from latentaudio.config.parsing import parse_json, parse_yaml, read_bounded

DEEP = 200_000
JSON = {
    "deep lists": "[" * DEEP,
    "deep objects": '{"a":' * DEEP,
    "cut": '{"a": 1',
    "empty": "",
    "many digits": "1" * 5000,
    "not UTF-8": b"\xff\xfe{",
}
YAML = {
    "deep": "[" * 3000 + "]" * 3000,
    "month 13": "a: 2024-13-45",
    "timestamp": "!!timestamp x",
    "object": "!!python/object/apply:os.system [echo]",
    "many digits": "a: " + "1" * 5000,
    "bomb": "a: &a [x, x, x]\n" + "".join(f"{k}: &{k} [*a, *a, *a]\n" for k in "bcdefgh"),
    "merge": "a: &a {b: 1}\nc: {<<: *a}",
    "tab": "a:\n\t- b",
    "two documents": "a: 1\n---\nb: 2",
    "unhashable key": "? [a]\n: b",
    "binary": "!!binary x",
    "set": "!!set [a]",
    "null byte": "a\0b",
}


@pytest.mark.parametrize("text", JSON.values(), ids=JSON)
def test_damaged_json_is_one_line(text):
    with pytest.raises(ValueError) as error:
        parse_json(text)
    assert str(error.value).count("\n") == 0


@pytest.mark.parametrize("text", YAML.values(), ids=YAML)
def test_damaged_yaml_is_one_line_at_once(text):
    start = time.process_time()
    with pytest.raises(ValueError) as error:
        parse_yaml(text)
    assert "\n" not in str(error.value)
    assert time.process_time() - start < 5


def test_good_texts_are_read():
    assert parse_json('{"a": [1, 2.5, null]}') == {"a": [1, 2.5, None]}
    assert parse_yaml("a: [1, 2.5, yes]\nb: {c: 'x*y'}") == {"a": [1, 2.5, True], "b": {"c": "x*y"}}


def test_yaml_names_the_line():
    with pytest.raises(ValueError, match="line 2: "):
        parse_yaml("a: 1\nb: [")


def test_an_endless_file_ends_in_an_error():
    with pytest.raises(ValueError, match=r"longer than 0\.000976562 MB"):
        read_bounded(Path("/dev/zero"), 1024)
