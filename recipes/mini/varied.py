"""Sounds without captions for codecs: noises of every slope and modulation, impulses, glides, mixtures, and soundfont music.

    python recipes/mini/varied.py data/varied --clips 2400 --seed 1
    python recipes/mini/varied.py data/music --soundfont /usr/share/sounds/sf2/FluidR3_GM.sf2 --clips 1200 --seed 2

Clips of 2.56 s (5.12 s of a soundfont, which needs the program fluidsynth), 16 kHz, FLAC, with a metadata.jsonl whose captions
say only what was synthesized. FluidR3_GM (Debian: fluid-soundfont-gm) is under the MIT licence.
"""

from __future__ import annotations

import argparse
import json
import struct
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import scipy.signal as signal
import soundfile

RATE = 16000
Dice = np.random.Generator


def coloured(dice: Dice, n: int) -> np.ndarray:
    """Noise [n] with a slope of -12 to 6 dB an octave, half of the time in a band, a third with resonances."""
    hertz = np.fft.rfftfreq(n, 1 / RATE)
    gain = np.maximum(hertz, 20) ** (dice.uniform(-12, 6) / 6.02)
    if dice.random() < 0.5:
        middle, octaves = np.exp(dice.uniform(np.log(60), np.log(7000))), dice.uniform(0.2, 3)
        gain = gain / (1 + (np.abs(np.log2(np.maximum(hertz, 1) / middle)) / octaves) ** (2 * dice.integers(1, 7)))
    for _ in range(dice.integers(1, 5) if dice.random() < 0.33 else 0):
        middle, width = np.exp(dice.uniform(np.log(80), np.log(7000))), dice.uniform(0.02, 0.3)
        gain = gain * (1 + dice.uniform(1, 15) / (1 + ((hertz / middle - 1) / width) ** 2))
    return normed(np.fft.irfft(np.fft.rfft(dice.standard_normal(n)) * gain, n))


def modulation(dice: Dice, n: int) -> np.ndarray:
    """An envelope [n]: even, waves of 0.3 to 120 Hz, random swells, bursts, strokes in a rhythm, one onset, one end."""
    time, which = np.arange(n) / RATE, dice.integers(8)
    if which == 0:
        return np.ones(n)
    if which == 1:
        rate, depth = np.exp(dice.uniform(np.log(0.3), np.log(120))), dice.uniform(0.2, 1)
        return (1 - depth / 2 + depth / 2 * np.cos(2 * np.pi * (rate * time + dice.random()))) ** dice.uniform(1, 4)
    if which == 2:
        sections = signal.butter(2, np.exp(dice.uniform(np.log(0.5), np.log(60))), fs=RATE, output="sos")
        slow = signal.sosfilt(sections, dice.standard_normal(n))
        return np.exp(dice.uniform(0.3, 1.5) * slow / (slow.std() + 1e-9))
    if which in (3, 4):
        if which == 3:
            starts = np.sort(dice.uniform(0, n / RATE, dice.integers(1, 60)))
        else:
            starts = np.arange(dice.uniform(0, 0.3), n / RATE, np.exp(dice.uniform(np.log(0.03), np.log(0.8))))
        decay, attack = np.exp(dice.uniform(np.log(0.003), np.log(0.4))), np.exp(dice.uniform(np.log(0.0005), np.log(0.02)))
        envelope = np.zeros(n)
        for start in starts:
            after = np.maximum(time - start, 0)
            envelope += dice.uniform(0.2, 1) * np.exp(-after / decay) * np.minimum(1, after / attack) * (time > start)
        return envelope + dice.choice([0, 0, 0.01, 0.1])
    start = dice.uniform(0.05, 0.8) * n / RATE
    edge = np.clip((time - start) / np.exp(dice.uniform(np.log(0.0005), np.log(0.3))), 0, 1)
    if which == 5:
        return edge
    if which == 6:
        return 1 - edge
    return edge * np.exp(-np.maximum(time - start, 0) / dice.uniform(0.05, 1.5))


def impulses(dice: Dice, n: int) -> np.ndarray:
    """Clicks [n] at random or in a rhythm, through up to three resonances."""
    train = np.zeros(n)
    rate = np.exp(dice.uniform(np.log(0.7), np.log(400)))
    if dice.random() < 0.5:
        places = dice.uniform(0, n, dice.poisson(rate * n / RATE) + 1).astype(int)
    else:
        places = np.arange(dice.uniform(0, RATE / rate), n, RATE / rate).astype(int)
    train[np.minimum(places, n - 1)] = dice.choice([-1, 1], len(places)) * np.exp(
        dice.normal(0, dice.uniform(0, 1), len(places))
    )
    out = np.zeros(n)
    for _ in range(dice.integers(1, 4)):
        middle = np.exp(dice.uniform(np.log(80), np.log(7000)))
        quality = max(middle / 4000, np.exp(dice.uniform(np.log(0.5), np.log(60))))  # a wider peak is not stable
        out += dice.uniform(0.2, 1) * normed(signal.lfilter(*signal.iirpeak(middle, quality, fs=RATE), train))
    return normed(out + dice.choice([0, 0.3, 3]) * train)


def tone(dice: Dice, n: int) -> np.ndarray:
    """A harmonic or inharmonic tone [n], still, gliding or with vibrato."""
    time = np.arange(n) / RATE
    base = np.exp(dice.uniform(np.log(45), np.log(3000)))
    track = np.full(n, base)
    if dice.random() < 0.5:
        track = base * 2 ** (dice.uniform(-2, 2) * np.clip((time - dice.uniform(-0.5, 2)) / dice.uniform(0.05, 2.5), 0, 1))
    if dice.random() < 0.4:
        track = track * (1 + dice.uniform(0, 0.04) * np.sin(2 * np.pi * dice.uniform(3, 12) * time))
    phase, out = 2 * np.pi * np.cumsum(track) / RATE, np.zeros(n)
    tilt, stretch, odd = dice.uniform(0.2, 2), dice.choice([0, 0, 0.001, 0.02]), dice.random() < 0.2
    for k in range(1, 60):
        factor = k * np.sqrt(1 + stretch * k * k)
        if factor * track.min() > 7800 or (odd and k % 2 == 0):
            break
        out += k**-tilt * dice.uniform(0.3, 1) * np.sin(factor * phase + dice.uniform(0, 6.3)) * (factor * track < 7900)
    return normed(out)


def normed(x: np.ndarray) -> np.ndarray:
    return x / (np.sqrt(np.mean(x**2)) + 1e-9)


def varied(dice: Dice) -> tuple[str, np.ndarray]:
    """(caption, samples of 2.56 s) of one to three layers."""
    n, names, total = int(2.56 * RATE), [], 0.0
    for _ in range(dice.choice([1, 1, 2, 3])):
        name, make = [("noise", coloured), ("noise", coloured), ("impulses", impulses), ("tone", tone)][dice.integers(4)]
        layer = make(dice, n)
        if name != "impulses" or dice.random() < 0.3:
            layer = layer * modulation(dice, n)
        names.append(name)
        total = total + normed(layer) * np.exp(dice.normal(0, 0.8))
    return "synthesized " + " and ".join(names), total / np.abs(total).max() * np.exp(dice.uniform(np.log(0.02), np.log(0.95)))


def midi(dice: Dice, program: int, seconds: float) -> bytes:
    """A random piece for one General MIDI program, 128: drums; 480 ticks a second."""
    events, when, channel = [(0, bytes([0xC0, program]))], 0.1, 0
    if program == 128:
        events, channel = [(0, bytes([0xC9, int(dice.choice([0, 8, 16, 24, 25, 32, 40]))]))], 9
    pace, low = np.exp(dice.uniform(np.log(0.12), np.log(1.2))), dice.integers(30, 75)
    while when < seconds:
        length = pace * dice.choice([0.5, 1, 1, 2])
        for _ in range(dice.choice([1, 1, 1, 2, 3])):
            key, force = (
                int(low + dice.integers(0, 25)) if channel == 0 else int(dice.integers(35, 70)),
                int(dice.integers(35, 127)),
            )
            events.append((int(480 * when), bytes([0x90 | channel, key, force])))
            events.append((int(480 * (when + length * dice.uniform(0.3, 1.1))), bytes([0x80 | channel, key, 0])))
        when += length + (dice.random() < 0.15) * pace
    track, now = b"\x00\xff\x51\x03\x0f\x42\x40", 0  # a quarter is a second
    for at, event in sorted(events, key=lambda e: e[0]):
        gap, now = at - now, at
        coded = bytes([gap & 127])
        while gap := gap >> 7:
            coded = bytes([(gap & 127) | 128]) + coded
        track += coded + event
    track += b"\x00\xff\x2f\x00"
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, 480) + b"MTrk" + struct.pack(">I", len(track)) + track


def music(dice: Dice, soundfont: Path, count: int, programs: list[int]) -> list[tuple[str, np.ndarray]]:
    """`count` clips of 5.12 s of a program each."""
    clips = []
    with tempfile.TemporaryDirectory() as folder:
        song, wave = Path(folder) / "a.mid", Path(folder) / "a.wav"
        while len(clips) < count:
            program = programs[len(clips) // 8 % len(programs)]
            song.write_bytes(midi(dice, program, 8 * 5.12))
            subprocess.run(
                ["fluidsynth", "-ni", "-q", "-g", "0.5", "-r", "48000", "-F", wave, soundfont, song],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            sound = signal.resample_poly(soundfile.read(wave)[0].mean(1), 1, 3)
            for k in range(8):
                clip = sound[int(k * 5.12 * RATE) : int((k + 1) * 5.12 * RATE)]
                if len(clip) == int(5.12 * RATE) and np.abs(clip).max() > 1e-3:
                    clips.append(
                        (
                            f"General MIDI program {program + 1}" if program < 128 else "drums",
                            clip / np.abs(clip).max() * np.exp(dice.uniform(np.log(0.05), np.log(0.95))),
                        )
                    )
                else:
                    clips.append(("silence", np.zeros(int(5.12 * RATE))))
    return clips[:count]


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("folder", type=Path)
    words.add_argument("--clips", type=int, default=2400)
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--soundfont", type=Path)
    given = words.parse_args()
    dice = np.random.default_rng(given.seed)
    (given.folder / "clips").mkdir(parents=True)
    if given.soundfont:
        order = [128, 128, 128, *map(int, dice.permutation(128)), 128, 128, 128]
        made = iter(music(dice, given.soundfont, given.clips, order))
    else:
        made = (varied(dice) for _ in range(given.clips))
    with (given.folder / "metadata.jsonl").open("w") as table:
        for number, (caption, clip) in enumerate(made):
            name = f"clips/{number:06}.flac"
            soundfile.write(given.folder / name, clip.astype(np.float32), RATE)
            table.write(json.dumps({"file_name": name, "text": caption, "seconds": len(clip) / RATE, "rate": RATE}) + "\n")
