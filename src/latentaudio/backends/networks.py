"""A UNet that a backend computes, with the methods that the denoise loop calls.

Letters: B batch of noisy latents, C channels, T' F' latent grid; conditioning is of k B clips.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..models.unet import DeepCache
from ..types import Conditioning
from .base import Array, Session, varying_inputs
from .graphs import FEATURES, PREDICTION, GraphName, conditioning_tensors


@dataclass(frozen=True)
class ArrayConditioning:
    """A conditioning as a session reads it.

    Attributes:
        num_clips: k B; 0 for a UNet without any conditioning.
        inputs: Arrays by the names of the graph's inputs.
    """

    num_clips: int
    inputs: Mapping[str, Array]


class GraphUNet:
    """A UNet in sessions of a backend. It takes and returns what `models.unet.UNet` does.

    The projections of conditionings are part of the graph: they are small beside a step.

    Attributes:
        num_threads: Threads of one call.
    """

    def __init__(
        self, num_threads: int, open_session: Callable[[GraphName, Sequence[str]], Session]
    ) -> None:
        """Keep how sessions are opened.

        Args:
            num_threads: Threads of one call.
            open_session: Opens the session of a graph, at its first use. It takes the graph and the
                inputs whose second axis has another length at each prompt.
        """
        self.num_threads = num_threads
        self._open_session = open_session
        self._sessions: dict[GraphName, Session] = {}

    def prepare(self, conditioning: Conditioning) -> ArrayConditioning:
        """Return a conditioning as `__call__` takes it at every step."""
        inputs = {}
        for name, tensor in conditioning_tensors(conditioning).items():
            inputs[name] = _to_array(tensor)
        num_clips = max((len(array) for array in inputs.values()), default=0)
        return ArrayConditioning(num_clips, inputs)

    def __call__(
        self,
        z: Tensor,
        t: Tensor,
        conditioning: ArrayConditioning,
        deep_cache: DeepCache | None = None,
    ) -> Tensor:
        """Predict from noisy latents z [B, C, T', F'] at steps t [B]; see `UNet.forward`."""
        num_clips = max(len(z), conditioning.num_clips)
        count = num_clips // len(z)
        inputs = {
            "z": _to_array(torch.cat([z] * count)),
            "t": _to_array(t.repeat(count)),
            **conditioning.inputs,
        }
        if deep_cache is None:
            [prediction] = self._session("full", inputs).run(inputs, [PREDICTION])
        elif deep_cache.should_recompute(num_clips):
            session = self._session("full", inputs)
            prediction, features = session.run(inputs, [PREDICTION, FEATURES])
            deep_cache.cached = torch.from_numpy(features)
        else:
            assert deep_cache.cached is not None
            inputs[FEATURES] = _to_array(deep_cache.cached[-num_clips:])
            [prediction] = self._session("shallow", inputs).run(inputs, [PREDICTION])
        return torch.from_numpy(prediction)

    def _session(self, graph: GraphName, inputs: Mapping[str, Array]) -> Session:
        if graph not in self._sessions:
            self._sessions[graph] = self._open_session(graph, varying_inputs(inputs))
        return self._sessions[graph]


def _to_array(tensor: Tensor) -> Array:
    array: Array = tensor.float().contiguous().numpy()
    return array
