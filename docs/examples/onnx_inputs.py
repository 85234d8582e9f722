"""Prompts and noise for `onnx_walk.py`: numbers as tokens, and the noise that torch draws."""

import math
import re

import numpy as np

SEMITONES = {"c": 0, "d": 2, "e": 4, "f": 5, "g": 7, "a": 9, "b": 11}
NOTES = re.compile(r"\b([a-g])(#|♯|b|♭| sharp | flat )?([0-8])(?![\w.,]*\d|\w)")
NUMBERS = re.compile(
    r"(?<![\w.])(\d{1,3}(?:,\d{3})+|\d+)?(\.\d+)?(?: ?(khz|kilohertz))?(?=[a-z]{0,3}\b|\W|$)"
)


def replace_numbers(text, grid):
    """Numbers and notes have tokens of their own, on a logarithmic grid."""

    def token(value, exact=True):
        if exact and value < grid["num_exact"] and value == int(value):
            return f"[i{int(value)}]"
        low = grid["lowest_octave"]
        octave = min(max(math.log2(max(value, 1e-9)), low), grid["highest_octave"])
        return f"[n{round((octave - low) * grid['steps_per_octave'])}]"

    def note(match):
        letter, accidental, octave = match.groups()
        shift = {"": 0, "#": 1, "♯": 1, "sharp": 1}.get((accidental or "").strip(), -1)
        midi = SEMITONES[letter] + shift + 12 * (int(octave) + 1)
        return f" {token(440 * 2 ** ((midi - 69) / 12), exact=False)} {grid['note_token']} "

    def number(match):
        integer, fraction, kilo = match.groups()
        if integer is None and fraction is None:
            return match.group()
        value = float((integer or "0").replace(",", "") + (fraction or ""))
        return f" {token(value * (1000 if kilo else 1))} {'hz' if kilo else ''} "

    plain = text.lower().replace("[", "(").replace("]", ")")
    return " ".join(NUMBERS.sub(number, NOTES.sub(note, plain)).split())


def randn(seed, shape):
    """Normal noise, the numbers that torch.randn draws from a seed; 16 or more."""
    generator = np.random.RandomState(seed % 2**32)  # the Mersenne Twister
    count = math.prod(shape)

    def draw(size):
        bits = generator.randint(0, 2**32, size, dtype=np.uint32) & 0xFFFFFF
        return bits.astype(np.float32) * np.float32(2**-24)

    def box_muller(uniform):
        first, second = uniform.reshape(-1, 2, 8).transpose(1, 0, 2)
        radius = np.sqrt(-2 * np.log(1 - first))
        angle = np.float32(2 * np.pi) * second
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1).reshape(-1)

    out = draw(count)
    whole = count // 16 * 16
    out[:whole] = box_muller(out[:whole])
    if whole < count:
        out[-16:] = box_muller(draw(16))
    return out.reshape(shape)
