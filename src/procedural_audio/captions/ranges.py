"""What is low or high, slow or fast, for a sound class.

A low bell is higher than a low engine. So each class with a pitch or a rate has a range, from which
its takes are drawn. The lowest third of it is low or slow, the highest third high or fast. In the
middle third two listeners would disagree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from ..sound_class import Annotations

Third = Literal["lowest", "highest"]

PITCH_RANGES_HZ: Mapping[str, tuple[float, float]] = {
    "wolf": (230, 820),
    "owl": (220, 640),
    "bee": (105, 420),
    "bell": (220, 1200),
    "glass": (700, 4200),
    "drill": (160, 900),
    "vacuum": (330, 700),
    "fan": (58, 240),
    "propeller": (58, 230),
    "alarm": (420, 3600),
    "horn": (190, 760),
    "foghorn": (60, 250),
    "whistle": (1100, 4400),
    "tone": (110, 3520),
    "doorbell": (320, 1350),
    "piano": (65, 1319),
    "guitar": (82, 659),
    "electric guitar": (82, 784),
    "bass guitar": (41, 196),
    "violin": (196, 1568),
    "cello": (65, 392),
    "flute": (262, 1760),
    "trumpet": (185, 932),
    "organ": (65, 1047),
    "accordion": (131, 1047),
    "xylophone": (392, 2349),
    "marimba": (110, 698),
    "music box": (523, 2489),
    "synth lead": (82, 1047),
    "synth pad": (82, 659),
    "choir": (131, 784),
}
"""Range of the pitch of each class that has one."""
RATE_RANGES_HZ: Mapping[str, tuple[float, float]] = {
    "horse": (1.3, 2.8),
    "frog": (0.8, 4.5),
    "cricket": (0.9, 5.0),
    "drip": (0.8, 5.4),
    "knock": (1.8, 5.0),
    "footsteps": (1.1, 3.2),
    "clap": (0.9, 4.8),
    "ball": (0.9, 4.0),
    "hammer": (0.9, 4.5),
    "clock": (0.9, 5.5),
    "sewing": (4.5, 17.0),
    "washer": (0.7, 1.8),
    "printer": (1.1, 3.5),
    "train": (0.55, 2.6),
    "steam": (1.3, 8.0),
    "siren": (0.18, 4.5),
    "alarm": (1.0, 7.0),
    "bongos": (1.5, 5.0),
}
"""Range of the rate of each class that repeats steadily."""
_TEMPI = (50.0, 180.0)
_NAMED_BY_MANNER = ("keyboard", "engine")  # classes without a range whose manner names the pace
_SLOW_MANNERS = {"slowly"}
_FAST_MANNERS = {"fast", "rapidly"}


def third_of(value: float, limits: tuple[float, float]) -> Third | None:
    """Return the outer third of a range that holds a value, on a logarithmic scale, or None."""
    position = math.log(value / limits[0]) / math.log(limits[1] / limits[0])
    if position < 0.33:
        return "lowest"
    return "highest" if position > 0.67 else None


def pitch_third(name: str, annotations: Annotations) -> Third | None:
    """Return whether a take is low or high for its class.

    Args:
        name: Name of the sound class.
        annotations: Annotations of the take.

    Returns:
        The third, or None: no pitch, no range, or neither low nor high.
    """
    if "pitch_hz" not in annotations or name not in PITCH_RANGES_HZ:
        return None
    return third_of(annotations["pitch_hz"], PITCH_RANGES_HZ[name])


def pace_third(name: str, annotations: Annotations) -> Third | None:
    """Return whether a take is slow or fast for its class.

    Args:
        name: Name of the sound class.
        annotations: Annotations of the take.

    Returns:
        The third, or None: no rate and no tempo, or neither slow nor fast.
    """
    if "bpm" in annotations:
        return third_of(annotations["bpm"], _TEMPI)
    if name in RATE_RANGES_HZ and "rate_hz" in annotations:
        return third_of(annotations["rate_hz"], RATE_RANGES_HZ[name])
    # A cat that meows with long pauses is no slow cat.
    manner = set(annotations.get("manner", ())) if name in _NAMED_BY_MANNER else set()
    if manner & _SLOW_MANNERS:
        return "lowest"
    return "highest" if manner & _FAST_MANNERS else None
