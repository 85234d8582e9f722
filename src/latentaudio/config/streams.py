"""Numbers of the random streams of training, data and evaluation.

A draw that is keyed by (seed, stream, position) shares no random number with another stream of the
same seed. The numbers are part of the format of a run. A change of a number makes other batches
from the same recipe, so a resumed run would differ from an uninterrupted one.

Older draws have no stream number. Their key is the tuple alone:

- order of an epoch: (seed, epoch)
- losses of a step: (seed, step, micro-batch, index of the trainable)
- batch of the text stage: (seed, position, 0); start of its weights: (seed,)
- crop of a clip that is pre-encoded: (0, index in its batch)
"""

from __future__ import annotations

from enum import IntEnum


class Stream(IntEnum):
    """One independent sequence of random numbers per purpose.

    Attributes:
        VAE_CROPS: Crop positions of the VAE stage.
        VOCODER_CROPS: Crop positions of the vocoder stage.
        AUDIOMAE_CROPS: Crop positions of the AudioMAE stage.
        CLAP_CLIPS: Captions and crop positions of the CLAP stage.
        BATCH_LENGTH: Clip length of a batch of pre-encoded clips.
        CAPTION_CHOICE: Caption of each pre-encoded clip.
        CONCAT_PAIRS: Clips, captions and conjunctions of concatenated pairs.
        VALIDATION: Losses of held-out clips.
        POSTERIOR_NOISE: Noise of the VAE's posterior in batches of pre-encoded clips.
    """

    VAE_CROPS = 1
    VOCODER_CROPS = 2
    AUDIOMAE_CROPS = 3
    CLAP_CLIPS = 4
    BATCH_LENGTH = 7
    CAPTION_CHOICE = 8
    CONCAT_PAIRS = 9
    VALIDATION = 10
    POSTERIOR_NOISE = 11


class EvaluationStream(IntEnum):
    """One independent sequence of random numbers for each kind of evaluation prompt.

    Evaluation has seeds of its own, so its numbers may equal those of `Stream`.

    Attributes:
        CLASS_PROMPTS: Prompts of single classes.
        ATTRIBUTE_PROMPTS: Prompts with a pitch, a rate or a count.
        ORDER_PROMPTS: Prompts of two sounds in order.
    """

    CLASS_PROMPTS = 1
    ATTRIBUTE_PROMPTS = 2
    ORDER_PROMPTS = 3
