"""Named protocols as data: every choice that moves a number, under one name.

A result names its protocol and repeats all of its settings. `compare` refuses unlike ones.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from ..errors import UsageError
from .features import PointKind

SigmoidKL = Literal["bernoulli", "sum"]
Resampler = Literal["soxr", "sinc"]
ChannelMix = Literal["mean", "first"]


@dataclass(frozen=True)
class Protocol:
    """Settings of an evaluation.

    Attributes:
        name: the word that users type.
        description: what it is, in one line.
        differs: what is not as in the program of that name, as far as we know; "" if nothing is.
        metrics: names of rows of `METRICS`, measured unless the user names others.
        backbones: names of rows of `BACKBONES`, used unless the user names others.
        unit: points of a distribution: "clips" are means over windows, "windows" are all windows.
        resampler: "soxr" (high quality), or "sinc": torchaudio's default, a sinc of 6 zero
            crossings under a Hann window.
        channel_mix: "mean" averages channels, "first" keeps the first one.
        removes_mean: whether each clip is shifted to a mean of zero.
        peak_db: peak to which each clip is scaled before resampling, in dBFS; None: as it is.
        min_samples: clips are padded with zeros to this length at the backbone's rate.
        kad_scale: factor of KAD.
        kad_bandwidth: whose median distance is the bandwidth of KAD.
        kid_subsets: number of random subsets of KID; 0 takes all clips once.
        kid_subset_size: clips of a subset.
        inception_splits: number of parts whose inception scores are averaged.
        kl_epsilon: added to the second distribution inside the logarithm of KL.
        kl_sigmoid: "bernoulli" is the divergence of independent classes; "sum" is the sum of
            p log(p/q) over classes that do not add up to 1.
        infinity_parts: largest number of parts of the fit of FAD∞.
        max_kernel_points: points of each set that KAD and KID use; more are drawn at random.
        candidates: clips per prompt among which the best was taken, as the papers state.
        seed: of subsets and shuffles.
    """

    name: str
    description: str
    metrics: tuple[str, ...]
    backbones: tuple[str, ...]
    differs: str = ""
    unit: PointKind = "clips"
    resampler: Resampler = "soxr"
    channel_mix: ChannelMix = "mean"
    removes_mean: bool = False
    peak_db: float | None = None
    min_samples: int = 0
    kad_scale: float = 100.0
    kad_bandwidth: Literal["reference", "generated"] = "reference"
    kid_subsets: int = 0
    kid_subset_size: int = 1000
    inception_splits: int = 1
    kl_epsilon: float = 0.0
    kl_sigmoid: SigmoidKL = "bernoulli"
    infinity_parts: int = 5
    max_kernel_points: int = 5000
    candidates: int | None = None
    seed: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return all settings as plain values, as JSON gives them back."""
        settings = asdict(self)
        return {**settings, "metrics": list(self.metrics), "backbones": list(self.backbones)}


_DISTRIBUTION = ("frechet", "frechet-infinity", "kad")
_LEGACY = ("frechet", "inception-score", "kl")

_AUDIOLDM_EVAL = Protocol(
    "audioldm_eval",
    "main branch at 8dc07ee: first channel, no mean, torchaudio's resampler, KL with 1e-6",
    _LEGACY,
    ("vggish", "panns-16k"),
    differs="a file that cannot be read is an error; there, the next file replaces it",
    unit="windows",  # VGGish has many for a clip, Cnn14 one
    resampler="sinc",
    channel_mix="first",
    removes_mean=True,
    min_samples=32000,
    kid_subsets=100,
    inception_splits=10,
    kl_epsilon=1e-6,
    kl_sigmoid="sum",
    candidates=3,
    seed=2020,
)

_ROWS = (
    Protocol(
        "recommended",
        "Fréchet distance and its limit, KAD, KL, inception score; no choice is hidden",
        (*_DISTRIBUTION, "kl", "inception-score", "clap-score"),
        ("yamnet",),
    ),
    Protocol(
        "mini",
        "the networks of the bundled model: offline, for sounds of its own kind only",
        (*_DISTRIBUTION, "clap-score"),
        ("mini-audiomae", "mini-clap"),
    ),
    _AUDIOLDM_EVAL,
    replace(
        _AUDIOLDM_EVAL,
        name="audioldm_eval-passt",
        description="branch passt_replace_panns, which the AudioLDM papers used: PaSST in place of "
        "PANNs",
        metrics=(*_LEGACY, "clap-score"),
        backbones=("vggish", "passt", "clap"),
        differs="how that branch cuts clips for PaSST is not known to us; the weights of its CLAP "
        "are music_speech_audioset_epoch_15_esc_89.98",
    ),
    Protocol(
        "av-benchmark",
        "networks and metrics of av-benchmark (MMAudio, MeanAudio): PaSST, PANNs, VGGish, CLAP",
        (*_LEGACY, "clap-score"),
        ("passt", "panns-16k", "vggish", "clap"),
        differs="its resampler and its epsilon of KL are not known to us; the score of MS-CLAP is "
        "missing: compute the features with msclap and use --embeddings; the weights of CLAP are "
        "music_speech_audioset_epoch_15_esc_89.98",
        unit="windows",  # VGGish has many for a clip, the others one for 10 s
        resampler="sinc",
        inception_splits=10,
        seed=2020,
    ),
    Protocol(
        "stable-audio-metrics",
        "stable-audio-metrics' KL of PaSST (generated || reference): peak -1 dB, windows of 10 s",
        ("kl", "clap-score"),
        ("passt", "clap"),
        differs="the Fréchet distance of OpenL3 is missing: compute the features with openl3 and "
        "use --embeddings; the last window of a clip above 10 s is not padded; its CLAP is "
        "630k-audioset-fusion-best, whose fusion our CLAP does not have",
        peak_db=-1.0,
        min_samples=320_000,
        kl_epsilon=1e-6,
    ),
    Protocol(
        "kadtk",
        "arithmetic of kadtk 1.1.0: windows, bandwidth of the generated clips; use --embeddings",
        ("kad",),
        ("panns-32k",),
        differs="it stores features in float16 and resamples 16-bit copies by torchaudio's Kaiser",
        unit="windows",
        kad_bandwidth="generated",
    ),
    Protocol(
        "fadtk",
        "Fréchet distance of fadtk 1.1.0: all windows in one distribution; use --embeddings",
        ("frechet",),
        ("vggish",),
        differs="it stores features in float16 and resamples 16-bit copies by torchaudio's Kaiser",
        unit="windows",
    ),
)

PROTOCOLS: dict[str, Protocol] = {row.name: row for row in _ROWS}
"""Every protocol by name. To add one, add a row."""


def get_protocol(name: str) -> Protocol:
    """Return a protocol.

    Raises:
        UsageError: There is none of that name.
    """
    if name not in PROTOCOLS:
        raise UsageError(f"there is no protocol {name!r}; choose one of {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]
