"""The files of the page: their size, where they point to, and their words."""

import json
import re

import pytest

from latentaudio.serve.app import CONTENT_POLICY, PAGE_FOLDER, PAGE_TYPES

MAX_BYTES = 60_000
FILES = sorted(path for path in PAGE_FOLDER.iterdir() if path.is_file())
SCRIPTS = [path for path in FILES if path.suffix == ".js"]
STRINGS = json.loads((PAGE_FOLDER / "strings.json").read_text())
NAMED = re.compile(r"""\b(?:t|button|field|check|number|details|text)\(\s*"([A-Za-z_]+)\"""")


def test_the_page_is_small_and_has_only_files_that_are_served():
    assert sum(path.stat().st_size for path in FILES) <= MAX_BYTES
    assert {path.suffix for path in FILES} <= PAGE_TYPES.keys()


def test_nothing_comes_from_elsewhere():
    for path in FILES:
        addresses = re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", path.read_text())
        assert set(addresses) <= {"http://www.w3.org/2000/svg"}, path
    assert "http" not in CONTENT_POLICY


def test_the_markup_has_no_inline_code_and_no_words_of_its_own():
    markup = (PAGE_FOLDER / "index.html").read_text()
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script>", markup)
    for key in re.findall(r'data-t="(\w+)"', markup):
        assert key in STRINGS["en"]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_word_that_a_script_names_is_in_the_file_of_strings(path):
    names = set(NAMED.findall(path.read_text()))
    fields = {"", "lock", "value"}
    assert not {name for name in names if name not in STRINGS["en"]} - fields


def test_every_string_is_used():
    code = "".join(path.read_text() for path in (*SCRIPTS, PAGE_FOLDER / "index.html"))
    families = ("_hint", "times", "bands")  # names that scripts put together
    for key in STRINGS["en"]:
        assert key in code or any(part in key for part in families), key


def test_strings_have_equal_placeholders_in_every_language():
    for language in STRINGS.values():
        for key, text in language.items():
            expected = set(re.findall(r"\{\w+\}", STRINGS["en"][key]))
            assert set(re.findall(r"\{\w+\}", text)) == expected


def test_the_files_are_sent_packed_to_those_who_can_read_it(client):
    num_bytes = 0
    for path in FILES:
        place = "/" if path.name == "index.html" else f"/static/{path.name}"
        plain = client.get(place, headers={"Accept-Encoding": "identity"})
        packed = client.get(place, headers={"Accept-Encoding": "gzip"})
        assert plain.content == packed.content == path.read_bytes()
        assert packed.headers["content-encoding"] == "gzip"
        assert plain.headers["etag"] != packed.headers["etag"]
        num_bytes += int(packed.headers["content-length"])
    assert num_bytes < 25_000
