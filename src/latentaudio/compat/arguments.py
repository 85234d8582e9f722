"""What calls of diffusers' pipelines are made of: their results, callbacks, prompts, embeddings and noise.

Knows the forms in which diffusers' callers give them. Refuses to know models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from ..errors import UsageError
from ..types import Conditioning, Context, Step


@dataclass
class AudioPipelineOutput:
    """What a call returns: audios [B, samples]; also readable as a tuple of one."""

    audios: Any

    def __getitem__(self, place: int | str) -> Any:
        return self.audios if place in (0, "audios") else (self.audios,)[cast(int, place)]

    def __iter__(self) -> Iterator[Any]:
        return iter((self.audios,))


@dataclass
class Calls:
    """Whom to tell of every step: diffusers' old way (callback) and new way (on_end)."""

    callback: Callable[[int, Any, Tensor], None] | None = None
    every: int = 1
    on_end: Callable[[Any, int, Any, dict[str, Any]], dict[str, Any] | None] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.every, int) or self.every < 1:
            raise UsageError(f"callback_steps = {self.every} must be a whole number, 1 or more")

    def tell(self, pipe: Any, step: Step) -> None:
        """Latents that a new-style callback returns take the place of the sampler's."""
        if self.callback is not None and step.index % self.every == 0:
            self.callback(step.index, torch.tensor(step.t), step.z)
        if self.on_end is not None:
            changed = self.on_end(pipe, step.index, torch.tensor(step.t), {"latents": step.z}) or {}
            if changed.get("latents") is not None and changed["latents"] is not step.z:
                step.z.copy_(changed["latents"])


@dataclass(frozen=True)
class Embeds:
    """Embeddings that the caller made: states [B, N, D] of T5 or of phonemes, language of audio [B, n, D], mask [B, N]."""

    states: Tensor | None = None
    written: Tensor | None = None
    mask: Tensor | None = None
    negative_states: Tensor | None = None
    negative_written: Tensor | None = None
    negative_mask: Tensor | None = None

    def positive(self) -> Conditioning:
        """What to steer to."""
        return _conditioning(self.states, self.written, self.mask, "")

    def negative(self) -> Conditioning:
        """What to steer away from."""
        return _conditioning(
            self.negative_states, self.negative_written, self.negative_mask, "negative_"
        )


def _conditioning(
    states: Tensor | None, written: Tensor | None, mask: Tensor | None, sign: str
) -> Conditioning:
    if states is None or written is None:
        raise UsageError(
            f"{sign}prompt_embeds and {sign}generated_prompt_embeds go together; pass both"
        )
    return Conditioning(
        None,
        (Context.full(written), Context.full(states) if mask is None else Context(states, mask)),
    )


def texts(prompt: str | list[str] | None, embeds: Tensor | None) -> list[str] | None:
    """The prompts as a list, None where embeddings take their place."""
    if (prompt is None) == (embeds is None):
        raise UsageError("pass either prompt or prompt_embeds, and not both")
    listed = [prompt] if isinstance(prompt, str) else prompt
    if listed is not None and not (
        isinstance(listed, list | tuple) and listed and all(isinstance(p, str) for p in listed)
    ):
        raise UsageError(f"prompt must be a text or a list of texts, not {prompt!r:.60}")
    return None if listed is None else list(listed)


def negatives(prompts: list[str] | None, prompt: Any, negative: Any, count: int) -> list[str]:
    """A negative prompt for each prompt."""
    wanted = count if prompts is None else len(prompts)
    if negative is None:
        return [""] * wanted
    if prompts is not None and type(prompt) is not type(negative):
        raise UsageError(
            "negative_prompt must be a text where prompt is, or a list where prompt is one"
        )
    listed = [negative] if isinstance(negative, str) else list(negative)
    if len(listed) != wanted:
        raise UsageError(
            f"there are {len(listed)} negative prompts for {wanted} prompts; give one for each"
        )
    return listed


def noise(shape: tuple[int, ...], generator: Any) -> Tensor:
    """Normal noise as diffusers draws it: all at once, or with a list of generators item by item; on the generator's device."""
    if isinstance(generator, list):
        if len(generator) != shape[0]:
            raise UsageError(
                f"there are {len(generator)} generators for {shape[0]} clips; give one for each"
            )
        return torch.cat([noise((1, *shape[1:]), one) for one in generator])
    return torch.randn(
        shape, generator=generator, device="cpu" if generator is None else generator.device
    )
