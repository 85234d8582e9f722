"""Results of the conditioners of one batch, and the inputs of the networks that read them.

Generation and training make the UNet's conditioning, the translator's sources and the latent
prior's text states here.

B clips, N tokens, D width, C T' F' latent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ..config.architecture import UNetConfig
from ..types import Conditioning, Context


@dataclass(frozen=True)
class Encoding:
    """The contribution of one conditioner to a batch's conditioning.

    A value that it does not compute is None.

    Attributes:
        vector: [B, D].
        context: Tokens [B, N, D] and mask [B, N].
        latent: [B, C, T', F'], the predicted mean of the clean latent.
    """

    vector: Tensor | None = None
    context: Context | None = None
    latent: Tensor | None = None

    @property
    def sequence(self) -> Context:
        """The context, or the vector as one token."""
        if self.context is not None:
            return self.context
        assert self.vector is not None, "a source of the translator has a context or a vector"
        return Context.unmasked(self.vector[:, None])


@dataclass(frozen=True)
class Consumers:
    """The networks that read an encoding. A latent always goes to the UNet's prior.

    Attributes:
        film: Whether its vector is a part of the UNet's FiLM vector.
        context_position: Rank of its context among those of the UNet's cross-attention. None: the
            UNet does not attend to it.
        source_position: Rank among the sources of the translator. None: it is no source.
        latent_prior: Whether the latent prior reads its context.
    """

    film: bool = False
    context_position: int | None = None
    source_position: int | None = None
    latent_prior: bool = False


class Encodings(Mapping[str, Encoding]):
    """What the conditioners computed for one batch: a mapping from their names to `Encoding`.

    `conditioning` returns it as the UNet reads it, `translator_sources` as the translator does, and
    `text_states` as the latent prior does.

    Attributes:
        consumers: Consumers of each conditioner that the model uses, in the order of the table.
    """

    def __init__(
        self, consumers: Mapping[str, Consumers], encodings: Mapping[str, Encoding] | None = None
    ) -> None:
        """Collect encodings.

        Args:
            consumers: Consumers of each conditioner that the model uses, in the order of the table.
            encodings: Encodings that exist already. Those of other conditioners are ignored.
        """
        self.consumers = dict(consumers)
        self._encodings = {
            name: encoding for name, encoding in (encodings or {}).items() if name in consumers
        }

    def __getitem__(self, name: str) -> Encoding:
        """Return the encoding of a conditioner."""
        return self._encodings[name]

    def __iter__(self) -> Iterator[str]:
        """Return the names of the conditioners that have an encoding."""
        return iter(self._encodings)

    def __len__(self) -> int:
        """Return the number of encodings."""
        return len(self._encodings)

    def add(self, name: str, encoding: Encoding) -> None:
        """Store the encoding of a conditioner."""
        self._encodings[name] = encoding

    def replaced(self, changes: Mapping[str, Encoding]) -> Encodings:
        """Return the same encodings, with some of them changed or added."""
        return Encodings(self.consumers, {**self._encodings, **changes})

    def context_names(self, unet: UNetConfig) -> tuple[str, ...]:
        """Return the conditioners whose contexts the UNet attends to, in its order.

        A UNet with fewer contexts ignores the last ones: the UNet of speech models reads the
        language of audio only, and the phonemes are a source of their translator.
        """
        positions = {}
        for name, consumers in self.consumers.items():
            if consumers.context_position is not None:
                positions[name] = consumers.context_position
        ordered = sorted(positions, key=positions.__getitem__)
        return tuple(ordered[: len(unet.cross_attention_dims)])

    def conditioning(self, unet: UNetConfig) -> Conditioning:
        """Return the inputs of the UNet."""
        contexts = []
        for name in self.context_names(unet):
            context = self[name].context
            assert context is not None, f"{name} has a context position and returned no context"
            contexts.append(context)
        # CLAP's vector is computed for the translator too; only some UNets have a FiLM input
        film = None if unet.film_dim is None else self._film()
        return Conditioning(film, tuple(contexts), self._prior())

    def translator_sources(self) -> tuple[Context, ...]:
        """Return the translator's inputs, in the order of its projections."""
        positions = {}
        for name, consumers in self.consumers.items():
            if consumers.source_position is not None:
                positions[name] = consumers.source_position
        ordered = sorted(positions, key=positions.__getitem__)
        missing = [name for name in ordered if name not in self]
        assert not missing, f"{missing[0]} is a source of the translator; put its row before it"
        return tuple(self[name].sequence for name in ordered)

    def text_states(self) -> Context:
        """Return the token states of a text that the latent prior reads."""
        [name] = [name for name, consumers in self.consumers.items() if consumers.latent_prior]
        states = self[name].context
        assert states is not None, f"the latent prior reads {name}, which returned no context"
        return states

    def _film(self) -> Tensor | None:
        """The vectors for FiLM, side by side in the order of the table."""
        vectors = []
        for name, consumers in self.consumers.items():
            vector = self[name].vector
            if consumers.film and vector is not None:
                vectors.append(vector)
        # one vector is passed on as it is: a copy would change nothing but cost memory
        if len(vectors) < 2:
            return vectors[0] if vectors else None
        return torch.cat(vectors, dim=1)

    def _prior(self) -> Tensor | None:
        for encoding in self._encodings.values():
            if encoding.latent is not None:
                return encoding.latent
        return None


def to_arrays(encodings: Mapping[str, Encoding]) -> dict[str, Tensor]:
    """Return the tensors of encodings as "conditioner.part", for a file.

    The parts are "vector", "tokens" and "mask" of the context, and "latent".

    Args:
        encodings: Encodings by conditioner.
    """
    arrays: dict[str, Tensor] = {}
    for name, encoding in encodings.items():
        if encoding.vector is not None:
            arrays[f"{name}.vector"] = encoding.vector
        if encoding.context is not None:
            arrays[f"{name}.tokens"] = encoding.context.tokens
            arrays[f"{name}.mask"] = encoding.context.mask
        if encoding.latent is not None:
            arrays[f"{name}.latent"] = encoding.latent
    return arrays


def from_arrays(arrays: Mapping[str, Tensor]) -> dict[str, Encoding]:
    """Return the encodings by conditioner that `to_arrays` named.

    Args:
        arrays: Tensors by "conditioner.part". Tokens without a mask are all real.
    """
    names = dict.fromkeys(name.rpartition(".")[0] for name in arrays)
    encodings = {}
    for name in names:
        context = None
        tokens = arrays.get(f"{name}.tokens")
        if tokens is not None:
            mask = arrays.get(f"{name}.mask")
            context = Context.unmasked(tokens) if mask is None else Context(tokens, mask)
        # a part that a conditioner does not compute has no array
        vector = arrays.get(f"{name}.vector")
        encodings[name] = Encoding(vector, context, arrays.get(f"{name}.latent"))
    return encodings
