"""Synthesize sounds for training a codec: noises, impulses, tones and mixtures, or music.

    python recipes/mini/make_varied_data.py data/varied --clips 2400 --seed 1
    python recipes/mini/make_varied_data.py data/music --clips 1200 --seed 2 \\
        --soundfont /usr/share/sounds/sf2/FluidR3_GM.sf2

Clips have 2.56 s, with a soundfont 5.12 s: 16 kHz, FLAC, and a metadata.jsonl whose captions say
only what was synthesized. Music needs the program `fluidsynth`. The soundfont FluidR3_GM by Frank
Wen (Debian package fluid-soundfont-gm) has the MIT license.
"""

from __future__ import annotations

import argparse
import json
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import scipy.signal
import soundfile
from numpy.random import Generator

RATE = 16000
CLIP_SAMPLES = int(2.56 * RATE)
MUSIC_SECONDS = 5.12
CLIPS_PER_PIECE = 8
DRUMS = 128  # stands for the drum channel beside the programs 0 to 127
DRUM_KITS = (0, 8, 16, 24, 25, 32, 40)
TICKS_PER_SECOND = 480
TEMPO = b"\x00\xff\x51\x03\x0f\x42\x40"  # a quarter note lasts a second
END_OF_TRACK = b"\x00\xff\x2f\x00"


def log_uniform(rng: Generator, low: float, high: float) -> float:
    """Draw a number whose logarithm is uniform."""
    return np.exp(rng.uniform(np.log(low), np.log(high)))


def normalize(samples: np.ndarray) -> np.ndarray:
    """Return samples with a root mean square of 1."""
    return samples / (np.sqrt(np.mean(samples**2)) + 1e-9)


def colored_noise(rng: Generator, num_samples: int) -> np.ndarray:
    """Noise with a slope of -12 to 6 dB per octave, some in a band, some with resonances."""
    hertz = np.fft.rfftfreq(num_samples, 1 / RATE)
    gain = np.maximum(hertz, 20) ** (rng.uniform(-12, 6) / 6.02)
    if rng.random() < 0.5:
        center = log_uniform(rng, 60, 7000)
        octaves = rng.uniform(0.2, 3)
        distance = np.abs(np.log2(np.maximum(hertz, 1) / center)) / octaves
        gain = gain / (1 + distance ** (2 * rng.integers(1, 7)))
    for _ in range(rng.integers(1, 5) if rng.random() < 0.33 else 0):
        center = log_uniform(rng, 80, 7000)
        width = rng.uniform(0.02, 0.3)
        gain = gain * (1 + rng.uniform(1, 15) / (1 + ((hertz / center - 1) / width) ** 2))
    spectrum = np.fft.rfft(rng.standard_normal(num_samples)) * gain
    return normalize(np.fft.irfft(spectrum, num_samples))


def envelope(rng: Generator, num_samples: int) -> np.ndarray:
    """One of: constant, tremolo, random swells, bursts, strokes in a rhythm, an onset, an end."""
    time = np.arange(num_samples) / RATE
    kind = rng.integers(8)
    if kind == 0:
        return np.ones(num_samples)
    if kind == 1:
        rate = log_uniform(rng, 0.3, 120)
        depth = rng.uniform(0.2, 1)
        wave = np.cos(2 * np.pi * (rate * time + rng.random()))
        return (1 - depth / 2 + depth / 2 * wave) ** rng.uniform(1, 4)
    if kind == 2:
        lowpass = scipy.signal.butter(2, log_uniform(rng, 0.5, 60), fs=RATE, output="sos")
        slow = scipy.signal.sosfilt(lowpass, rng.standard_normal(num_samples))
        return np.exp(rng.uniform(0.3, 1.5) * slow / (slow.std() + 1e-9))
    if kind in (3, 4):
        return strokes(rng, time, is_rhythm=kind == 4)
    start = rng.uniform(0.05, 0.8) * num_samples / RATE
    edge = np.clip((time - start) / log_uniform(rng, 0.0005, 0.3), 0, 1)
    if kind == 5:
        return edge
    if kind == 6:
        return 1 - edge
    return edge * np.exp(-np.maximum(time - start, 0) / rng.uniform(0.05, 1.5))


def strokes(rng: Generator, time: np.ndarray, is_rhythm: bool) -> np.ndarray:
    """Envelope of decaying strokes, at random times or in a rhythm."""
    seconds = len(time) / RATE
    if is_rhythm:
        starts = np.arange(rng.uniform(0, 0.3), seconds, log_uniform(rng, 0.03, 0.8))
    else:
        starts = np.sort(rng.uniform(0, seconds, rng.integers(1, 60)))
    decay = log_uniform(rng, 0.003, 0.4)
    attack = log_uniform(rng, 0.0005, 0.02)
    total = np.zeros(len(time))
    for start in starts:
        after = np.maximum(time - start, 0)
        stroke = rng.uniform(0.2, 1) * np.exp(-after / decay) * np.minimum(1, after / attack)
        total += stroke * (time > start)
    return total + rng.choice([0, 0, 0.01, 0.1])


def impulses(rng: Generator, num_samples: int) -> np.ndarray:
    """Clicks, at random times or in a rhythm, through up to three resonances."""
    clicks = np.zeros(num_samples)
    rate = log_uniform(rng, 0.7, 400)
    if rng.random() < 0.5:
        count = rng.poisson(rate * num_samples / RATE) + 1
        positions = rng.uniform(0, num_samples, count).astype(int)
    else:
        positions = np.arange(rng.uniform(0, RATE / rate), num_samples, RATE / rate).astype(int)
    signs = rng.choice([-1, 1], len(positions))
    levels = np.exp(rng.normal(0, rng.uniform(0, 1), len(positions)))
    clicks[np.minimum(positions, num_samples - 1)] = signs * levels
    total = np.zeros(num_samples)
    for _ in range(rng.integers(1, 4)):
        center = log_uniform(rng, 80, 7000)
        quality = max(center / 4000, log_uniform(rng, 0.5, 60))  # a wider peak is unstable
        level = rng.uniform(0.2, 1)
        peak = scipy.signal.iirpeak(center, quality, fs=RATE)
        total += level * normalize(scipy.signal.lfilter(*peak, clicks))
    return normalize(total + rng.choice([0, 0.3, 3]) * clicks)


def tone(rng: Generator, num_samples: int) -> np.ndarray:
    """A harmonic or inharmonic tone, constant, gliding or with vibrato."""
    time = np.arange(num_samples) / RATE
    base = log_uniform(rng, 45, 3000)
    pitch = np.full(num_samples, base)
    if rng.random() < 0.5:
        octaves = rng.uniform(-2, 2)
        progress = np.clip((time - rng.uniform(-0.5, 2)) / rng.uniform(0.05, 2.5), 0, 1)
        pitch = base * 2 ** (octaves * progress)
    if rng.random() < 0.4:
        depth = rng.uniform(0, 0.04)
        pitch = pitch * (1 + depth * np.sin(2 * np.pi * rng.uniform(3, 12) * time))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    total = np.zeros(num_samples)
    tilt = rng.uniform(0.2, 2)
    stretch = rng.choice([0, 0, 0.001, 0.02])
    only_odd = rng.random() < 0.2
    for number in range(1, 60):
        factor = number * np.sqrt(1 + stretch * number * number)
        if factor * pitch.min() > 7800 or (only_odd and number % 2 == 0):
            break
        level = number**-tilt * rng.uniform(0.3, 1)
        partial = np.sin(factor * phase + rng.uniform(0, 6.3))
        total += level * partial * (factor * pitch < 7900)
    return normalize(total)


LAYERS = (
    ("noise", colored_noise),
    ("noise", colored_noise),
    ("impulses", impulses),
    ("tone", tone),
)


def mixture(rng: Generator) -> tuple[str, np.ndarray]:
    """Return caption and samples of one to three layers."""
    names = []
    total = 0.0
    for _ in range(rng.choice([1, 1, 2, 3])):
        name, synthesize = LAYERS[rng.integers(4)]
        layer = synthesize(rng, CLIP_SAMPLES)
        if name != "impulses" or rng.random() < 0.3:
            layer = layer * envelope(rng, CLIP_SAMPLES)
        names.append(name)
        total = total + normalize(layer) * np.exp(rng.normal(0, 0.8))
    samples = total / np.abs(total).max() * log_uniform(rng, 0.02, 0.95)
    return "synthesized " + " and ".join(names), samples


def midi_piece(rng: Generator, program: int, seconds: float) -> bytes:
    """Return a MIDI file of random notes and chords for one General MIDI program."""
    channel = 0
    events = [(0, bytes([0xC0, program]))]
    if program == DRUMS:
        channel = 9
        events = [(0, bytes([0xC9, int(rng.choice(DRUM_KITS))]))]
    time = 0.1
    pace = log_uniform(rng, 0.12, 1.2)
    lowest_key = rng.integers(30, 75)
    while time < seconds:
        length = pace * rng.choice([0.5, 1, 1, 2])
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            is_drum = program == DRUMS
            key = int(rng.integers(35, 70)) if is_drum else int(lowest_key + rng.integers(0, 25))
            velocity = int(rng.integers(35, 127))
            start = int(TICKS_PER_SECOND * time)
            end = int(TICKS_PER_SECOND * (time + length * rng.uniform(0.3, 1.1)))
            events.append((start, bytes([0x90 | channel, key, velocity])))
            events.append((end, bytes([0x80 | channel, key, 0])))
        time += length + (rng.random() < 0.15) * pace
    track = TEMPO
    now = 0
    for tick, event in sorted(events, key=lambda item: item[0]):
        track += variable_length(tick - now) + event
        now = tick
    track += END_OF_TRACK
    header = b"MThd" + struct.pack(">IHHH", 6, 0, 1, TICKS_PER_SECOND)
    return header + b"MTrk" + struct.pack(">I", len(track)) + track


def variable_length(number: int) -> bytes:
    """Encode a number of ticks as MIDI does: 7 bits per byte."""
    encoded = bytes([number & 127])
    while number := number >> 7:
        encoded = bytes([(number & 127) | 128]) + encoded
    return encoded


def play(midi: bytes, soundfont: Path) -> np.ndarray:
    """Return the samples of a MIDI file, played by FluidSynth."""
    with tempfile.TemporaryDirectory() as folder:
        song = Path(folder) / "piece.mid"
        wave = Path(folder) / "piece.wav"
        song.write_bytes(midi)
        subprocess.run(
            ["fluidsynth", "-ni", "-q", "-g", "0.5", "-r", "48000", "-F", wave, soundfont, song],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return scipy.signal.resample_poly(soundfile.read(wave)[0].mean(1), 1, 3)


def music(rng: Generator, soundfont: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield captions and clips without end: eight clips of each program in turn."""
    programs = [DRUMS, DRUMS, DRUMS, *map(int, rng.permutation(128)), DRUMS, DRUMS, DRUMS]
    length = int(MUSIC_SECONDS * RATE)
    while True:
        for program in programs:
            samples = play(midi_piece(rng, program, CLIPS_PER_PIECE * MUSIC_SECONDS), soundfont)
            for index in range(CLIPS_PER_PIECE):
                start = int(index * MUSIC_SECONDS * RATE)
                clip = samples[start : int((index + 1) * MUSIC_SECONDS * RATE)]
                if len(clip) < length or np.abs(clip).max() <= 1e-3:
                    yield "silence", np.zeros(length)
                    continue
                name = "drums" if program == DRUMS else f"General MIDI program {program + 1}"
                yield name, clip / np.abs(clip).max() * log_uniform(rng, 0.05, 0.95)


def mixtures(rng: Generator) -> Iterator[tuple[str, np.ndarray]]:
    """Yield captions and mixtures without end."""
    while True:
        yield mixture(rng)


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="data set to write")
    parser.add_argument("--clips", type=int, default=2400, help="number of clips")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--soundfont", type=Path, help="play music on this soundfont")
    flags = parser.parse_args()
    rng = np.random.default_rng(flags.seed)
    clips = music(rng, flags.soundfont) if flags.soundfont else mixtures(rng)
    (flags.folder / "clips").mkdir(parents=True)
    with (flags.folder / "metadata.jsonl").open("w", encoding="utf-8") as metadata:
        for index in range(flags.clips):
            caption, samples = next(clips)
            name = f"clips/{index:06}.flac"
            soundfile.write(flags.folder / name, samples.astype(np.float32), RATE)
            record = {
                "file_name": name,
                "text": caption,
                "seconds": len(samples) / RATE,
                "rate": RATE,
            }
            metadata.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
