"""Compare networks and arithmetic of the evaluation with other implementations.

    pip install --no-deps --target ORACLES torchlibrosa==0.1.0 panns_inference==0.1.1 matplotlib
    pip install --no-deps --target ORACLES kadtk==1.1.0 fadtk==1.1.0 audioldm_eval==0.0.3
    pip download --no-deps torchvggish==0.2, and unpack it into ORACLES
    pip download --no-deps hear21passt==0.0.26 audiobox_aesthetics==0.0.4 torchaudio==2.11.1, and
    unpack them into ORACLES, of torchaudio only torchaudio/compliance
    PYTHONPATH=src:ORACLES python benchmarks/evaluation_oracles.py [CHECK ...]

The weights are random: a graph is proved by any weights, and nothing is downloaded. Random batch
norms have random statistics, so that none is the identity.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
import types
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from latentaudio.evaluate.backbones.audiobox_aesthetics import AudioboxAesthetics
from latentaudio.evaluate.backbones.panns import FRONT_ENDS, PANNs
from latentaudio.evaluate.backbones.passt import PaSST, log_mel
from latentaudio.evaluate.backbones.vggish import VGGish, make_examples
from latentaudio.evaluate.features import feature_set
from latentaudio.evaluate.metrics import METRICS
from latentaudio.evaluate.metrics import kad as kad_metric
from latentaudio.evaluate.metrics.aesthetics import AXES
from latentaudio.evaluate.metrics.base import MetricInputs
from latentaudio.evaluate.metrics.frechet import frechet_distance
from latentaudio.evaluate.protocols import PROTOCOLS

SECONDS = (0.7, 2.0, 5.37)


def randomize(network: torch.nn.Module) -> None:
    """Give the network weights and statistics with which signals keep their size."""
    generator = torch.Generator().manual_seed(0)
    for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
        if not tensor.is_floating_point() or name.startswith(("spectrogram", "logmel")):
            continue
        noise = torch.randn(tensor.shape, generator=generator)
        if name.endswith("running_var"):
            tensor.data = 1 + 0.2 * noise.abs()
        elif tensor.dim() > 1:
            tensor.data = noise * (2 / tensor[0].numel()) ** 0.5
        else:
            tensor.data = 0.1 * noise + (1.0 if "bn" in name and "weight" in name else 0.0)


def compare(label: str, expected: np.ndarray, ours: np.ndarray) -> None:
    """Print the largest difference beside the size of the values."""
    difference = float(np.abs(expected - ours).max())
    relative = difference / float(np.abs(expected).max())
    print(f"| {label} | {expected.shape} | {difference:.2g} | {relative:.2g} |")
    assert expected.shape == ours.shape and relative < 1e-4, label


def clip(rate: int, seconds: float) -> np.ndarray:
    """A clip of noise that fades in, with a tone."""
    rng = np.random.default_rng(0)
    times = np.arange(round(rate * seconds)) / rate
    samples = 0.1 * rng.standard_normal(len(times)) * times / seconds
    return (samples + 0.3 * np.sin(2 * np.pi * 440 * times)).astype(np.float32)


def check_panns(folder: Path) -> None:
    """Cnn14 of panns_inference and torchlibrosa."""
    sys.modules.setdefault("matplotlib", types.ModuleType("matplotlib"))
    sys.modules.setdefault("matplotlib.pyplot", types.ModuleType("matplotlib.pyplot"))
    package = types.ModuleType("panns_inference")  # its __init__ downloads
    package.__path__ = [str(Path(path) / "panns_inference") for path in sys.path]
    sys.modules["panns_inference"] = package
    from panns_inference.models import Cnn14

    for name, front in FRONT_ENDS.items():
        network = Cnn14(
            front.sample_rate, front.n_fft, front.hop_length, 64, front.fmin, front.fmax, 527
        ).eval()
        randomize(network)
        file = folder / f"{name}.pth"
        torch.save({"model": network.state_dict()}, file)
        ours = PANNs(name, file)
        for seconds in SECONDS:
            samples = clip(front.sample_rate, seconds)
            with torch.inference_mode():
                expected = network(torch.from_numpy(samples)[None])
            result = ours.embed(samples)
            label = f"{name}, {seconds} s"
            compare(f"{label}, embedding", expected["embedding"].numpy(), result.embeddings)
            probabilities = 1 / (1 + np.exp(-result.logits))
            compare(f"{label}, classes", expected["clipwise_output"][0].numpy(), probabilities)


def check_vggish(folder: Path) -> None:
    """VGGish of torchvggish."""
    sys.modules.setdefault("resampy", types.ModuleType("resampy"))
    from torchvggish import torchvggish, vggish_input

    network = torchvggish._vgg(postprocess=False).eval()
    randomize(network)
    network.embeddings = network.embeddings[:-1]  # without the last ReLU
    file = folder / "vggish.safetensors"
    save_file(network.state_dict(), file)
    ours = VGGish(file)
    for seconds in (1.0, 2.0, 5.37):
        samples = clip(16000, seconds)
        examples = vggish_input.waveform_to_examples(samples.astype(np.float64), 16000)
        compare(f"vggish, {seconds} s, log-mel", examples.detach().numpy(), make_examples(samples))
        with torch.inference_mode():
            expected = network(examples).numpy()
        compare(f"vggish, {seconds} s, embedding", expected, ours.embed(samples).embeddings)


def stub_torchaudio() -> None:
    """Let packages import the parts of torchaudio that are plain Python."""
    package = types.ModuleType("torchaudio")
    package.__path__ = [str(Path(path) / "torchaudio") for path in sys.path]
    package.transforms = types.SimpleNamespace(
        FrequencyMasking=lambda *_, **__: torch.nn.Identity(),
        TimeMasking=lambda *_, **__: torch.nn.Identity(),
    )
    sys.modules.setdefault("torchaudio", package)
    import torchaudio
    import torchaudio.compliance.kaldi

    package.compliance = torchaudio.compliance


def check_passt(folder: Path) -> None:
    """PaSST of hear21passt, with its mel of torchaudio."""
    stub_torchaudio()
    package = types.ModuleType("hear21passt")
    package.__path__ = [str(Path(path) / "hear21passt") for path in sys.path]
    sys.modules["hear21passt"] = package
    hub = types.SimpleNamespace(download_cached_file=None)  # nothing is downloaded
    sys.modules.update({"timm": hub, "timm.models": hub, "timm.models._hub": hub})
    from hear21passt.models import passt as oracle
    from hear21passt.models.preprocess import AugmentMelSTFT

    oracle.first_RUN = False  # it prints
    network = oracle.PaSST(stride=(10, 10), distilled=True).eval()
    randomize(network)
    file = folder / "passt.pt"
    torch.save(network.state_dict(), file)
    ours = PaSST(file)
    mel = AugmentMelSTFT(fmin_aug_range=10, fmax_aug_range=2000).eval()
    for seconds in (0.7, 10.0):
        samples = clip(32000, seconds)
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            spectrogram = mel(torch.from_numpy(samples)[None])[:, None]
            logits, embedding = network(spectrogram)
        result = ours.embed(samples)
        mine = log_mel(torch.from_numpy(samples)).numpy()
        compare(f"passt, {seconds} s, log-mel", spectrogram[0, 0].numpy(), mine)
        compare(f"passt, {seconds} s, embedding", embedding.numpy(), result.embeddings)
        compare(f"passt, {seconds} s, classes", logits[0].numpy(), result.logits)


def check_aesthetics(folder: Path) -> None:
    """The network of audiobox_aesthetics, with its own WavLM."""
    from audiobox_aesthetics.model.aes import AesMultiOutput

    target = {axis: {"mean": 5.0 + i, "std": 1.0 + i} for i, axis in enumerate(AXES)}
    settings = {"proj_num_layer": 3, "proj_ln": True, "target_transform": target}
    network = AesMultiOutput(**settings).eval()
    generator = torch.Generator().manual_seed(0)
    for weights in network.layer_weights.values():  # unlike weights for the layers
        weights.data = torch.randn(weights.shape, generator=generator)
    save_file({n: t.contiguous() for n, t in network.state_dict().items()},
              folder / "model.safetensors")  # fmt: skip
    (folder / "config.json").write_text(json.dumps(settings))
    ours = AudioboxAesthetics(folder)
    for seconds in (2.3, 10.0):
        samples = clip(16000, seconds)
        padded = np.pad(samples, (0, 160000 - len(samples)))
        mask = torch.arange(160000) < len(samples)
        with torch.inference_mode():
            axes = network({"wav": torch.from_numpy(padded)[None, None], "mask": mask[None, None]})
        expected = [axes[axis].item() * t["std"] + t["mean"] for axis, t in target.items()]
        result = ours.embed(samples)
        compare(f"aesthetics, {seconds} s", np.array([expected]), result.embeddings)


def arithmetic(package: str, module: str, *names: str) -> dict[str, object]:
    """Functions of a package that import nothing but torch, numpy and scipy.

    The module itself imports tools that today's versions cannot satisfy.
    """
    import ast
    from typing import NamedTuple

    import scipy.linalg

    paths = (Path(path) / package / f"{module}.py" for path in sys.path)
    tree = ast.parse(next(path for path in paths if path.is_file()).read_text())
    space = {
        "np": np, "torch": torch, "linalg": scipy.linalg, "scisqrt": np.emath.sqrt, "Path": Path,
        "NamedTuple": NamedTuple, "SCALE_FACTOR": 100,
        "log": types.SimpleNamespace(info=print, warning=print, error=print),
    }  # fmt: skip
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name in names:
            exec(compile(ast.Module([node], []), module, "exec"), space)
    return space


def check_distances(folder: Path) -> None:
    """Fréchet distance of fadtk, kernel distance of kadtk, on the same features."""
    rng = np.random.default_rng(0)
    generated = rng.standard_normal((400, 32)) * rng.uniform(0.5, 2, 32) + 0.2
    reference = rng.standard_normal((500, 32))
    fad = arithmetic("fadtk", "fad", "calc_embd_statistics", "calc_frechet_distance")
    moments = [*fad["calc_embd_statistics"](generated), *fad["calc_embd_statistics"](reference)]
    expected = float(fad["calc_frechet_distance"](*moments))
    compare(
        "fadtk 1.1.0, Fréchet distance", *scalars(expected, frechet_distance(generated, reference))
    )
    kad = arithmetic("kadtk", "kad", "calc_kernel_audio_distance", "median_pairwise_distance")
    first = torch.from_numpy(reference)
    second = torch.from_numpy(generated)
    expected = float(
        kad["calc_kernel_audio_distance"](
            first, second, (folder / "a", folder / "b"), "cpu", precision=torch.float64
        )
    )
    protocol = replace(PROTOCOLS["recommended"], kad_bandwidth="generated")
    inputs = MetricInputs(feature_set(generated), feature_set(reference), protocol)
    [result] = kad_metric.compute(inputs)
    compare("kadtk 1.1.0, KAD, bandwidth of the generated", *scalars(expected, result.value))


def check_audioldm_eval(folder: Path) -> None:
    """The arithmetic of audioldm_eval on the same features and logits."""
    rng = np.random.default_rng(0)
    sides = {}
    for side, shift in (("generated", 0.2), ("reference", 0.0)):
        features = torch.from_numpy(rng.standard_normal((403, 32)) + shift)
        logits = torch.from_numpy(2 * rng.standard_normal((403, 50)) + shift)
        names = [f"{index:03}.wav" for index in range(403)]
        sides[side] = {"2048": features, "logits": logits, "file_path_": names}
    first = sides["generated"]
    second = sides["reference"]
    package = types.ModuleType("audioldm_eval")  # its __init__ imports tools of other versions
    package.__path__ = [str(Path(path) / "audioldm_eval") for path in sys.path]
    sys.modules["audioldm_eval"] = package
    from audioldm_eval.metrics.fid import calculate_fid
    from audioldm_eval.metrics.isc import calculate_isc
    from audioldm_eval.metrics.kid import calculate_kid
    from audioldm_eval.metrics.kl import calculate_kl

    silence = contextlib.redirect_stdout(io.StringIO())
    with silence:
        expected = {
            "frechet": calculate_fid(first, second, "2048")["frechet_distance"],
            "kid": calculate_kid(first, second, 100, 300, 3, None, 1, 2020, "2048")[
                "kernel_inception_distance_mean"
            ],
            "inception-score": calculate_isc(first, "logits", 2020, True, 10)[
                "inception_score_mean"
            ],
        }
        divergences = calculate_kl(first, second, "logits")[0]
    protocol = replace(PROTOCOLS["audioldm_eval"], kid_subset_size=300)
    both = [feature_set(s["2048"].numpy(), s["logits"].numpy(), s["file_path_"])
            for s in sides.values()]  # fmt: skip
    pairs = [(index, index) for index in range(403)]
    inputs = MetricInputs(*both, protocol, pairs)
    for name, value in expected.items():
        [result] = METRICS[name].compute(inputs)
        compare(f"audioldm_eval 0.0.3, {name}", *scalars(value, result.value))
    ours = {result.variant: result.value for result in METRICS["kl"].compute(inputs)}
    for form, variant in (("softmax", "softmax"), ("sigmoid", "sigmoid sum")):
        value = divergences[f"kullback_leibler_divergence_{form}"]
        mine = ours[f"{variant}, reference || generated"]
        compare(f"audioldm_eval 0.0.3, KL {form}", *scalars(value, mine))


def scalars(*values: float) -> list[np.ndarray]:
    """Numbers as arrays."""
    return [np.array([value]) for value in values]


def main() -> None:
    """Run all comparisons."""
    print(f"torch {torch.__version__}, numpy {np.__version__}, Python {sys.version.split()[0]}\n")
    print("| what | shape | largest difference | relative |\n|---|---|---|---|")
    checks = {"distances": check_distances, "audioldm_eval": check_audioldm_eval,
              "vggish": check_vggish, "panns": check_panns,
              "passt": check_passt, "aesthetics": check_aesthetics}  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for name in sys.argv[1:] or checks:
            checks[name](Path(folder))


if __name__ == "__main__":
    main()
