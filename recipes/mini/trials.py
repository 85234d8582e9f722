"""Train the UNet of `mini` in several designs for the same time, and compare what they generate.

    python recipes/mini/trials.py runs --data data/train --init-from runs/unet
    python recipes/mini/trials.py runs --data data/train --init-from runs/unet --only base wide

Each trial begins with random weights of the UNet and takes all other components from `--init-from`.
Give each trial the same cores: the time counts, not the steps. The data are prepared before. A
finished trial is not repeated.
Generated are the same prompts with the same seeds, two of each sound class. YAMNet was trained on
recordings, the classifier on renders.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

import latentaudio
from latentaudio.cli.main import main as run_command
from latentaudio.config.architecture import UNetConfig
from latentaudio.config.registry import MODELS
from latentaudio.evaluate.mini.classifier import load_classifier
from latentaudio.evaluate.mini.prompts import class_prompts
from latentaudio.evaluate.mini.quality import is_correct
from latentaudio.evaluate.mini.yamnet_classifier import YAMNetClassifier
from latentaudio.loaders.model_folder import find_model_folder
from procedural_audio.registry import get_registry

ROOT = Path(__file__).parent.parent.parent
DURATION = 5.12  # s
CLIPS_PER_CLASS = 2
SEED = 5
SETTINGS = (
    "steps=30000", "optim.anneal_over=minutes", "optim.warmup_steps=50", "ema_decay=0.99",
    "precision=bf16", "options.logit_mean=0.1", "options.logit_std=1.3",
    "options.channel_loss_weighting=0.5", "seed=7",
)  # fmt: skip
RESULT_FILE = "trial.json"
UNETS = ("unet", "distilled_unet")
PREPARATION_MINUTES = 0.01  # the data are prepared, then the time is over


@dataclass(frozen=True)
class Trial:
    """One design.

    Attributes:
        unet: Changes of the UNet's shape.
        prediction: What the UNet predicts.
        settings: More settings of the recipe.
    """

    unet: dict[str, object] = field(default_factory=dict)
    prediction: str = "v"
    settings: tuple[str, ...] = ()


TRIALS = {
    "base": Trial(),
    "epsilon": Trial(prediction="epsilon"),
    "x0": Trial(prediction="x0"),
    "narrow": Trial({"channels": 72}),
    "wide": Trial({"channels": 144}),
    "deep": Trial({"num_res_blocks": 2}),
    "no 1-D level": Trial({"merge_frequency_bins": None, "num_uniform_frequencies": 0}),
    "no prior": Trial({"use_prior": False}),
    "half batch": Trial(settings=("options.frames_per_batch=4096",)),
    "double batch": Trial(settings=("options.frames_per_batch=16384",)),
    "equal channels": Trial(settings=("options.channel_loss_weighting=0",)),
    "middle noise": Trial(settings=("options.logit_mean=0.4", "options.logit_std=0.9")),
    "true LOA": Trial(settings=("options.true_loa_prob=1",)),
}


def change_mini(trial: Trial) -> None:
    """Give the model `mini` the design of a trial, in this process."""
    spec = MODELS["mini"]
    unet: UNetConfig = replace(spec.config.unet, **trial.unet)  # type: ignore[arg-type]
    schedule = replace(spec.config.schedule, prediction=trial.prediction)  # type: ignore[arg-type]
    MODELS["mini"] = replace(spec, config=replace(spec.config, unet=unet, schedule=schedule))


def copy_without_unet(run: Path, target: Path) -> None:
    """Copy a model that has no UNet, so that a trial begins with random weights."""
    target.mkdir(parents=True, exist_ok=True)
    for file in find_model_folder(run).iterdir():
        if file.stem not in UNETS:
            shutil.copyfile(file, target / file.name)


def train(folder: Path, trial: Trial, data: list[str], source: Path, minutes: float) -> None:
    """Train a trial to the end of its time."""
    recipe = ROOT / "recipes" / "mini" / "diffusion.yaml"
    options = ["--init-from", str(source), "--max-minutes", str(minutes)]
    settings = ["--set", *SETTINGS, *trial.settings]
    code = run_command(
        ["train", str(recipe), "--data", *data, "-o", str(folder), *options, *settings]
    )
    if code:
        sys.exit(code)


def measure(folder: Path, classifier_folder: Path) -> dict[str, float]:
    """Generate two clips of each class, and return what both networks find in them."""
    model = latentaudio.load(folder)
    yamnet = YAMNetClassifier()
    classifier = load_classifier(classifier_folder)
    names = list(get_registry())
    clips = []
    targets = []
    found = []
    for seed, prompt in enumerate(class_prompts(CLIPS_PER_CLASS * len(names), SEED, DURATION)):
        [clip] = model.generate(prompt.prompt, duration=DURATION, seed=seed, candidates=1)
        samples = np.asarray(clip.samples[0], np.float32)
        target = prompt.class_names[0]
        clips.append(samples)
        targets.append(target)
        if target in yamnet.labels:
            found.append(yamnet.recognize(samples, target))
    correct = is_correct(classifier.predict(clips), classifier.class_names, targets)
    log = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return {
        "steps": json.loads(log[-1])["step"],
        "clips": len(clips),
        "classifier": float(np.mean(correct)),
        "yamnet_clips": len(found),
        "top1": float(np.mean([answer.is_top1 for answer in found])),
        "top5": float(np.mean([answer.is_top5 for answer in found])),
        "probability": float(np.mean([answer.probability for answer in found])),
    }


def table(root: Path) -> str:
    """Return the results of all finished trials as a table."""
    lines = ["| trial | steps | N | classifier | top-1 | top-5 | p |", f"|{'---|' * 7}"]
    for name in TRIALS:
        file = root / name.replace(" ", "_") / RESULT_FILE
        if file.is_file():
            r = json.loads(file.read_text(encoding="utf-8"))
            shares = " | ".join(f"{r[key]:.0%}" for key in ("classifier", "top1", "top5"))
            lines.append(
                f"| {name} | {r['steps']} | {r['clips']} | {shares} | {r['probability']:.3f} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Run the trials that are not finished, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("root", type=Path, help="folder of the trials")
    parser.add_argument("--data", nargs="+", required=True, help="folders of training clips")
    parser.add_argument(
        "--init-from", type=Path, required=True, help="run with all other components"
    )
    parser.add_argument("--minutes", type=float, default=10, help="time of each trial")
    parser.add_argument("--only", nargs="+", choices=tuple(TRIALS), help="run only these")
    parser.add_argument(
        "--classifier", type=Path, default=ROOT / "benchmarks" / "classifier", help="its folder"
    )
    flags = parser.parse_args()
    original = MODELS["mini"]
    source = flags.root / "trial_source"
    copy_without_unet(flags.init_from, source)
    train(flags.root / "prepared", Trial(), flags.data, source, PREPARATION_MINUTES)
    for name in flags.only or TRIALS:
        folder = flags.root / name.replace(" ", "_")
        if (folder / RESULT_FILE).is_file():
            continue
        MODELS["mini"] = original
        change_mini(TRIALS[name])
        train(folder, TRIALS[name], flags.data, source, flags.minutes)
        result = measure(folder, flags.classifier)
        (folder / RESULT_FILE).write_text(json.dumps(result, indent=1), encoding="utf-8")
    sys.stdout.write(table(flags.root) + "\n")


if __name__ == "__main__":
    main()
