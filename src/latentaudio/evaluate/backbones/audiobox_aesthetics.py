"""Audiobox Aesthetics (arXiv 2502.05139): four axes of a clip, a head on WavLM.

The weights are the folder of the hub repository `facebook/audiobox-aesthetics`: `config.json` and
`model.safetensors` (CC BY 4.0). WavLM is that of transformers. Clips are cut into windows of 10 s,
the last one padded with silence; windows count by their length, as in the published program.

Letters: B batch, T samples, L frames, E size of an embedding.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...config.parsing import parse_json, read_bounded
from ...errors import WeightsError, first_line
from ...fileio import sha256_of_file
from ..features import ClipFeatures
from ..metrics.aesthetics import AXES
from .base import Backbone, BackboneSpec, Samples, as_numpy, require_weights
from .published_weights import load_published

RATE = 16000
WINDOW_SAMPLES = 10 * RATE
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
_MAX_PROJECTIONS = 16

_RULES = (
    (r"^wavlm_model\.", "wavlm."),
    (r"\.conv_layers\.(\d+)\.0\.", r".conv_layers.\1.conv."),
    (r"\.conv_layers\.0\.2\.", ".conv_layers.0.layer_norm."),
    (r"^wavlm\.layer_norm\.", "wavlm.feature_projection.layer_norm."),
    (r"^wavlm\.post_extract_proj\.", "wavlm.feature_projection.projection."),
    (r"^wavlm\.mask_emb$", "wavlm.masked_spec_embed"),
    (r"\.pos_conv\.0\.weight_g$", ".pos_conv_embed.conv.parametrizations.weight.original0"),
    (r"\.pos_conv\.0\.weight_v$", ".pos_conv_embed.conv.parametrizations.weight.original1"),
    (r"\.pos_conv\.0\.parametrizations\.", ".pos_conv_embed.conv.parametrizations."),
    (r"\.pos_conv\.0\.bias$", ".pos_conv_embed.conv.bias"),
    (r"\.self_attn\.grep_linear\.", ".attention.gru_rel_pos_linear."),
    (r"\.self_attn\.grep_a$", ".attention.gru_rel_pos_const"),
    (r"\.self_attn\.relative_attention_bias\.", ".attention.rel_attn_embed."),
    (r"\.self_attn_layer_norm\.", ".layer_norm."),
    (r"\.self_attn\.", ".attention."),
    (r"\.fc1\.", ".feed_forward.intermediate_dense."),
    (r"\.fc2\.", ".feed_forward.output_dense."),
)
"""Names of the published file -> names of transformers' WavLM, all applied in this order."""


class AestheticsNetwork(nn.Module):
    """WavLM and one head for each axis."""

    def __init__(self, settings: Mapping[str, Any], wavlm_config: Any = None) -> None:
        """Build the network with random weights.

        Args:
            settings: of `config.json`.
            wavlm_config: transformers' configuration; None: that of WavLM base.
        """
        from transformers import WavLMConfig, WavLMModel

        super().__init__()
        config = wavlm_config or WavLMConfig()
        self.wavlm = WavLMModel(config)
        num_layers = int(settings.get("nth_layer", 13))
        self.is_normalized = bool(settings.get("normalize_embed", True))
        self.proj_layer = nn.ModuleDict()
        self.layer_weights = nn.ParameterDict()
        for axis in AXES:
            self.proj_layer[axis] = _projection(settings, config.hidden_size)
            self.layer_weights[axis] = nn.Parameter(torch.ones(num_layers) / num_layers)

    def forward(self, samples: Tensor, num_valid: int) -> Tensor:
        """Windows [B, T], of which the first samples are no padding -> axes [B, 4], scaled."""
        features = self.wavlm.feature_extractor(samples).transpose(1, 2)
        frame = samples.shape[1] // features.shape[1]
        # A frame counts if a sample of it does.
        is_valid = torch.arange(features.shape[1]) * frame < num_valid
        mask = is_valid.expand(len(samples), -1)
        hidden, _ = self.wavlm.feature_projection(features)
        layers = torch.stack(self._layers(hidden, mask), dim=-1)  # [B, L, E, layers]
        weight = is_valid.to(layers.dtype)[None, :, None] / is_valid.sum().clamp_min(1)
        scores = []
        for axis in AXES:
            mixed = layers @ torch.softmax(self.layer_weights[axis], dim=-1)
            embedding = (mixed * weight).sum(dim=1)
            if self.is_normalized:
                embedding = nn.functional.normalize(embedding, dim=-1)
            scores.append(self.proj_layer[axis](embedding)[:, 0])
        return torch.stack(scores, dim=1)

    def _layers(self, hidden: Tensor, mask: Tensor) -> list[Tensor]:
        """Input of the first transformer layer, and output of each, [B, L, E]."""
        encoder = self.wavlm.encoder
        outputs: list[Tensor] = []
        hooks = [encoder.layer_norm.register_forward_hook(lambda _, __, out: outputs.append(out))]
        for layer in encoder.layers:
            hooks.append(layer.register_forward_hook(lambda _, __, out: outputs.append(out[0])))
        try:
            encoder(hidden, attention_mask=mask)
        finally:
            for hook in hooks:
                hook.remove()
        return outputs


class AudioboxAesthetics:
    """The predictor as a backbone: its features are the four axes of a clip."""

    name = "audiobox-aesthetics"
    sample_rate = RATE
    version = 1

    def __init__(self, folder: Path) -> None:
        """Load the weights.

        Args:
            folder: with `config.json` and `model.safetensors`.

        Raises:
            WeightsError: A file is missing, damaged or of another network.
        """
        settings = read_settings(folder / CONFIG_FILE)
        self.network = AestheticsNetwork(settings)
        load_published(self.network, folder / WEIGHTS_FILE, rename=published_name)
        self.weights_sha256 = sha256_of_file(folder / WEIGHTS_FILE)
        self.scale = np.array([settings["target_transform"][axis]["std"] for axis in AXES])
        self.offset = np.array([settings["target_transform"][axis]["mean"] for axis in AXES])

    @torch.inference_mode()
    def embed(self, samples: Samples) -> ClipFeatures:
        """Return the axes CE, CU, PC and PQ of a clip, [1, 4]."""
        rows = []
        lengths = []
        for start in range(0, max(1, len(samples)), WINDOW_SAMPLES):
            window = samples[start : start + WINDOW_SAMPLES]
            padded = np.pad(window, (0, WINDOW_SAMPLES - len(window)))
            axes = self.network(torch.from_numpy(padded)[None], len(window))
            rows.append(as_numpy(axes)[0] * self.scale + self.offset)
            lengths.append(max(1, len(window)))
        return ClipFeatures(np.average(rows, axis=0, weights=lengths)[None].astype(np.float32))


def published_name(name: str) -> str:
    """Return our name of a tensor of the published file."""
    for pattern, replacement in _RULES:
        name = re.sub(pattern, replacement, name)
    return name


def read_settings(path: Path) -> dict[str, Any]:
    """Return the settings of a `config.json`.

    Raises:
        WeightsError: It is no such file, or asks for what we do not compute.
    """
    try:
        settings = parse_json(read_bounded(path))
        for axis in AXES:
            for name in ("mean", "std"):
                settings["target_transform"][axis][name] = float(
                    settings["target_transform"][axis][name]
                )
        is_known = (
            settings.get("proj_act_fn", "gelu") == "gelu"
            and settings.get("use_weighted_layer_sum", True) is True
            and settings.get("output_dim", 1) == 1
            and settings.get("nth_layer", 13) == 13
            and settings.get("proj_num_layer", 1) in range(1, _MAX_PROJECTIONS + 1)
        )
    except OSError as error:
        raise WeightsError(f"cannot read {path} ({error.strerror or error})") from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsError(
            f"{path} is no configuration of Audiobox Aesthetics ({first_line(error)})"
        ) from None
    if not is_known:
        raise WeightsError(f"{path} asks for another head than that of the published weights")
    return dict(settings)


def _projection(settings: Mapping[str, Any], size: int) -> nn.Sequential:
    """The head of an axis: linear layers with GELU between them."""
    num_layers = int(settings.get("proj_num_layer", 1))
    layers: list[nn.Module] = []
    for _ in range(num_layers - 1):
        layers.append(nn.Linear(size, size))
        if settings.get("proj_ln", False):
            layers.append(nn.LayerNorm(size))
        layers.append(nn.GELU())
        if settings.get("proj_dropout", 0):
            layers.append(nn.Identity())  # dropout, which has a number in the names
    layers.append(nn.Linear(size, 1))
    return nn.Sequential(*layers)


def load(weights: Path | None) -> Backbone:
    """Return the network of published weights."""
    kind = "the folder of facebook/audiobox-aesthetics"
    return AudioboxAesthetics(require_weights(weights, "audiobox-aesthetics", kind))


SPEC = BackboneSpec(
    "audiobox-aesthetics",
    "Audiobox Aesthetics: CE, CU, PC, PQ (CC BY 4.0)",
    load,
    has_embeddings=False,
    has_aesthetics=True,
    weights="the folder of facebook/audiobox-aesthetics",
)
