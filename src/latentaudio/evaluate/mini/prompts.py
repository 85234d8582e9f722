"""Held-out prompts with their ground truth: the render that a prompt describes.

Prompts are of the test split of the caption grammar. A prompt depends on its seed and index alone.

Letter: T samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from procedural_audio.captions.grammar import Split, describe
from procedural_audio.registry import get_classes, get_registry
from procedural_audio.scene import Scene, render_scene
from procedural_audio.sound_class import Annotations, SoundClass
from procedural_audio.soundfont import Soundfont

from ...config.streams import EvaluationStream
from ...errors import UsageError
from .attributes import AttributeCheck

RATE = 16000  # Hz

_MAX_RENDERS = 400  # tried until one has the attribute and a caption that states it
_MAX_SCENES = 500  # until one has two sounds in order
_MAX_CAPTIONS = 40  # tried per render


@dataclass(frozen=True)
class EvalPrompt:
    """A held-out prompt and a clip that satisfies it.

    Attributes:
        prompt: the text.
        class_names: its sound classes in temporal order.
        annotations: annotations of the first event.
        ground_truth: a render [T] at 16 kHz that the prompt describes.
    """

    prompt: str
    class_names: tuple[str, ...]
    annotations: Annotations
    ground_truth: np.ndarray


def render_class(
    sound_class: SoundClass, duration: float, *seed: int, soundfont: Soundfont | None = None
) -> tuple[np.ndarray, Scene, np.random.Generator]:
    """Render a clip with sounds of one class only.

    Args:
        sound_class: the sound class.
        duration: duration in seconds.
        seed: one or more numbers that fix the render.
        soundfont: plays the notes of instruments. None: they are synthesized.

    Returns:
        Samples [T] at 16 kHz, the scene, and the random generator, for captions of the scene.
    """
    rng = np.random.default_rng(seed)
    samples, scene = render_scene((sound_class,), rng, RATE, duration, soundfont=soundfont)
    return samples, scene, rng


def class_prompts(
    count: int,
    seed: int,
    duration: float,
    class_names: Sequence[str] | None = None,
    split: Split = "test",
) -> Iterator[EvalPrompt]:
    """Yield prompts for a single sound, class after class.

    Args:
        count: number of prompts.
        seed: seed of prompts and renders.
        duration: duration of the renders in seconds.
        class_names: sound classes; default: all.
        split: split of the caption grammar.

    Yields:
        The prompts. Prompt k is of class k modulo the number of classes.
    """
    classes = get_classes(class_names)
    stream = EvaluationStream.CLASS_PROMPTS
    for index in range(count):
        sound_class = classes[index % len(classes)]
        samples, scene, rng = render_class(sound_class, duration, seed, stream, index)
        event = scene.events[0]
        caption = describe(scene, rng, split)
        yield EvalPrompt(caption, (event.sound_class.name,), event.annotations, samples)


def attribute_prompts(
    check: AttributeCheck, count: int, seed: int, duration: float
) -> Iterator[EvalPrompt]:
    """Yield prompts that state the attribute of a check, class after class.

    Args:
        check: the attribute.
        count: number of prompts.
        seed: seed of prompts and renders.
        duration: duration of the renders in seconds.

    Yields:
        The prompts.
    """
    classes = [get_registry()[name] for name in check.class_names if name in get_registry()]
    for index in range(count):
        sound_class = classes[index % len(classes)]
        yield _find_attribute_prompt(check, sound_class, duration, seed, index)


def order_prompts(count: int, seed: int, duration: float) -> Iterator[EvalPrompt]:
    """Yield prompts for one sound followed by another.

    Only effects are used: the spectra of instruments are too similar to tell their order.

    Args:
        count: number of prompts.
        seed: seed of prompts and renders.
        duration: duration of the renders in seconds.

    Yields:
        The prompts; `class_names` has two entries.

    Raises:
        UsageError: The clips are too short for two sounds.
    """
    effects = [sound_class for sound_class in get_classes() if sound_class.family == "effects"]
    for index in range(count):
        rng = np.random.default_rng([seed, EvaluationStream.ORDER_PROMPTS, index])
        pair = [effects[i] for i in rng.choice(len(effects), 2, replace=False)]
        for _ in range(_MAX_SCENES):
            samples, scene = render_scene(pair, rng, RATE, duration, pair[0])
            if scene.relation == "then":
                break
        else:
            raise UsageError(
                f"clips of {duration:g} s are too short for two sounds in order; raise --duration"
            )
        class_names = tuple(event.sound_class.name for event in scene.events)
        caption = describe(scene, rng, "test")
        yield EvalPrompt(caption, class_names, scene.events[0].annotations, samples)


def _find_attribute_prompt(
    check: AttributeCheck, sound_class: SoundClass, duration: float, seed: int, index: int
) -> EvalPrompt:
    """The first render that has the attribute and a caption that states it."""
    for attempt in range(_MAX_RENDERS):
        prompt = _try_attribute_prompt(
            check, sound_class, duration, seed, EvaluationStream.ATTRIBUTE_PROMPTS, index, attempt
        )
        if prompt is not None:
            return prompt
    raise AssertionError(f"no caption of {sound_class.name} states its {check.name}")


def _try_attribute_prompt(
    check: AttributeCheck, sound_class: SoundClass, duration: float, *seed: int
) -> EvalPrompt | None:
    """A render with this seed; None if it lacks the attribute or no caption states it."""
    samples, scene, rng = render_class(sound_class, duration, *seed)
    annotations = scene.events[0].annotations
    if check.annotations and not any(name in annotations for name in check.annotations):
        return None
    for _ in range(_MAX_CAPTIONS):
        caption = describe(scene, rng, "test")
        if check.pattern.search(caption):
            return EvalPrompt(caption, (sound_class.name,), annotations, samples)
    return None
