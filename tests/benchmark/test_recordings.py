"""Recordings of Debian packages: container formats, labels and licenses."""

import importlib.util
import struct
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "recordings.py"


@pytest.fixture(scope="module")
def recordings():
    spec = importlib.util.spec_from_file_location("recordings", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["recordings"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_catalog_of_opensfx_has_a_title_a_license_and_a_file_for_each_sound(recordings):
    sounds = [
        (b'"Cow". License: Creative Commons Zero 1.0.\0', b"RIFF cow"),
        (b'"Gull". License: Creative Commons Attribution-ShareAlike 3.0.\0', b"RIFF gull"),
    ]
    table = b""
    body = b""
    for description, data in sounds:
        table += struct.pack("<II", (16 + len(body)) | 0x80000000, len(data))
        body += bytes([len(description)]) + description + data
    found = list(recordings.read_opensfx(table + body))
    assert [(s.path, s.data, s.license) for s in found] == [
        ("Cow", b"RIFF cow", "CC0"),
        ("Gull", b"RIFF gull", "CC BY-SA 3.0"),
    ]
    assert not recordings.is_for_training(found[1])


def test_a_qt_resource_is_a_tree_of_folders_and_files(recordings):
    name = struct.pack(">HI", 5, 0) + "a.ogg".encode("utf-16-be")
    content = struct.pack(">I", 4) + b"OggS"
    root = struct.pack(">IHII", 0, 2, 1, 1) + bytes(8)  # one child, the node 1
    # the file's node: no flags, country and language, offset of the content
    file = struct.pack(">IHII", 0, 0, 0, 0) + bytes(8)
    tree = root + file
    header = b"qres" + struct.pack(">4I", 2, 20, 20 + len(tree), 20 + len(tree) + len(content))
    found = list(recordings.read_qt_resource(header + tree + content + name))
    assert found == [("/a.ogg", b"OggS")]


@pytest.mark.parametrize(
    ("package", "path", "kind"),
    [
        ("tuxpaint-stamps-default", "usr/stamps/animals/mammals/dogs/dog", "dog"),
        ("tuxpaint-stamps-default", "usr/stamps/animals/mammals/dogs/dog_desc_fr", ""),
        ("sonic-pi-samples", "usr/samples/bd_boom", "drum kit"),
        ("openttd-opensfx", "Tropical: Bird (1)", "bird"),
    ],
)
def test_the_whole_file_name_tells_the_kind(package, path, kind, recordings):
    packages = {p.name: p for p in recordings.PACKAGES}
    assert recordings.kind_of(packages[package], path) == kind


def test_two_thirds_of_the_free_recordings_and_no_others_are_for_training(recordings):
    def fraction(license: str) -> float:
        chosen = [
            recordings.is_for_training(recordings.Recording(f"sound {i}", b"", license))
            for i in range(300)
        ]
        return sum(chosen) / len(chosen)

    for license in ("CC0", "CC0 or MIT", "CC BY 3.0", "public domain"):
        assert fraction(license) == pytest.approx(2 / 3, abs=0.05)
    for license in ("GPL-2", "GPL-3", "CC BY-SA 3.0", "Artistic-1.0"):
        assert fraction(license) == 0.0
