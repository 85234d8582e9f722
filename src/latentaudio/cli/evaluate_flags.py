"""Flags of `latentaudio evaluate`, and the evaluation that they describe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from cyclopts import Group, Parameter

from ..errors import UsageError
from . import console

if TYPE_CHECKING:
    from ..evaluate.protocols import Protocol
    from ..evaluate.report import Evaluation
    from ..evaluate.request import Request

CLIPS = Group("Clips", sort_key=1)
FEATURES = Group("Features in place of clips", sort_key=2)
MEASUREMENT = Group("Measurement", sort_key=3)
GENERATION = Group("Generation", sort_key=4)
RESULTS = Group("Results", sort_key=5)
WORK = Group("Work", sort_key=6)

OptionalPath: TypeAlias = Path | None
FEATURE_METRICS = ("frechet", "frechet-infinity", "kad", "kid")
CLASS_METRICS = ("inception-score", "kl")
_OF_CLIPS = ("generated", "reference", "captions", "subset", "backbone", "weights", "html")
_OUTPUTS = {"json": ".json", "csv": ".csv", "html": ".html"}


def _flag(group: Group, help: str, is_list: bool = False) -> Parameter:
    return Parameter(help=help, group=group, show_default=False, consume_multiple=is_list)


@Parameter(name="*")
@dataclass(frozen=True)
class EvaluationFlags:
    """What to measure, how, and where the result goes."""

    generated: Annotated[
        OptionalPath,
        _flag(
            CLIPS,
            "Folder of the clips to measure. They pair with clips of --reference by their names "
            "without extension. With --model, the clips are generated there.",
        ),
    ] = None
    reference: Annotated[OptionalPath, _flag(CLIPS, "Folder of the clips to compare with.")] = None
    captions: Annotated[
        OptionalPath,
        _flag(
            CLIPS,
            "Captions of the clips: .csv, .jsonl or .json with names of files. Further columns: "
            "class, transcript, and the numbers of the metric control. Default: the prompts in "
            "the tags of the files.",
        ),
    ] = None
    subset: Annotated[
        OptionalPath,
        _flag(
            CLIPS,
            "Clips to measure: audiocaps-964, or a .txt with a name on each line, or .csv, .jsonl, "
            ".json. Missing clips are counted. Default: all clips of the folders.",
        ),
    ] = None
    skip_unreadable: Annotated[
        bool,
        _flag(CLIPS, "Leave out files that cannot be read, and count them. Default: an error."),
    ] = False
    model: Annotated[
        str | None,
        _flag(GENERATION, "Model that generates the clips of --prompts before they are measured."),
    ] = None
    prompts: Annotated[
        OptionalPath,
        _flag(
            GENERATION,
            "List of prompts for --model, as in `latentaudio batch`: .csv, .jsonl or .txt. "
            "Columns are options, such as steps. A stopped list goes on.",
        ),
    ] = None
    seed: Annotated[int, _flag(GENERATION, "Seed of the first prompt. Default: 0.")] = 0
    candidates: Annotated[
        int | None,
        _flag(
            GENERATION,
            "Clips per prompt among which the best was (or is) taken. Default: what the tags say.",
        ),
    ] = None
    ranker: Annotated[
        str | None,
        _flag(
            GENERATION,
            "Network that ranked the candidates, such as clap=PATH. Default: what the tags say.",
        ),
    ] = None
    allow_same_ranker: Annotated[
        bool,
        _flag(GENERATION, "Let the network that ranked candidates rate them, too."),
    ] = False
    embeddings: Annotated[
        tuple[Path, Path] | None,
        _flag(
            FEATURES,
            "Two .npy files of any network: generated, then reference clips; a row is a clip.",
        ),
    ] = None
    logits: Annotated[
        tuple[Path, Path] | None,
        _flag(FEATURES, "Two .npy files of logits, for KL and the inception score."),
    ] = None
    metrics: Annotated[
        list[str] | None,
        _flag(
            MEASUREMENT,
            "frechet, frechet-infinity, kad, kid, inception-score, kl, clap-score, lsd, ssim, "
            "psnr, aesthetics, wer, control. Default: those of the protocol that are possible.",
            is_list=True,
        ),
    ] = None
    protocol: Annotated[
        str,
        _flag(
            MEASUREMENT,
            "Settings of all metrics: recommended (default), mini, audioldm_eval, "
            "audioldm_eval-passt, av-benchmark, stable-audio-metrics, kadtk or fadtk.",
        ),
    ] = "recommended"
    backbone: Annotated[
        list[str] | None,
        _flag(
            MEASUREMENT,
            "Networks: yamnet, vggish, panns-16k, panns-32k, passt, clap, mini-clap, "
            "mini-audiomae, mini-classifier or audiobox-aesthetics. Default: those of the "
            "protocol.",
            is_list=True,
        ),
    ] = None
    weights: Annotated[
        list[str] | None,
        _flag(MEASUREMENT, "Weights of networks, as NAME=PATH.", is_list=True),
    ] = None
    json: Annotated[
        OptionalPath, _flag(RESULTS, "File for the result, with the values of single clips.")
    ] = None
    csv: Annotated[
        OptionalPath, _flag(RESULTS, "File for the values of single clips, a row for each clip.")
    ] = None
    html: Annotated[
        OptionalPath,
        _flag(RESULTS, "File for a page with tables, players and spectrograms."),
    ] = None
    quiet: Annotated[bool, _flag(RESULTS, "Show no progress and no table.")] = False
    cache: Annotated[
        OptionalPath,
        _flag(WORK, "Folder that keeps features. Default: latentaudio/evaluate in ~/.cache."),
    ] = None
    temporary_cache: Annotated[bool, _flag(WORK, "Keep no features after the command.")] = False
    num_workers: Annotated[
        int, _flag(WORK, "Threads. Default: 0, as many as processors.")
    ] = 0  # fmt: skip

    def validate(self) -> None:
        """Check what needs no file to be read.

        Raises:
            UsageError: Flags contradict each other, or a result cannot be written.
        """
        for name, suffix in _OUTPUTS.items():
            _validate_target(f"--{name}", getattr(self, name), suffix)
        if self.num_workers < 0:
            raise UsageError(f"--num-workers {self.num_workers} is below 0; choose 0 or more")
        if self.temporary_cache and self.cache is not None:
            raise UsageError("--cache and --temporary-cache exclude each other; leave one out")
        if (self.model is None) != (self.prompts is None):
            raise UsageError("--model and --prompts belong together; add the other one")
        if self.has_features:
            for name in _OF_CLIPS:
                if getattr(self, name) is not None:
                    raise UsageError(f"--{name} needs audio files; leave it out beside features")
        elif self.generated is None:
            raise UsageError("name the folder of the clips with --generated, or see --help")

    @property
    def has_features(self) -> bool:
        """Whether features are measured in place of clips."""
        return self.embeddings is not None or self.logits is not None

    def measure(self) -> Evaluation:
        """Measure, and return the result."""
        from ..evaluate.protocols import get_protocol

        protocol = get_protocol(self.protocol)
        if self.has_features:
            return self._measure_features(protocol)
        from ..evaluate.embeddings_cache import EmbeddingsCache, default_cache_folder
        from ..evaluate.run import evaluate_folders

        request = self._request(protocol)
        folder = None if self.temporary_cache else self.cache or default_cache_folder()
        with (
            EmbeddingsCache(folder) as cache,
            console.progress_bar("evaluate", self.quiet) as tick,
        ):
            return evaluate_folders(request, cache, tick)

    def _measure_features(self, protocol: Protocol) -> Evaluation:
        from ..evaluate.feature_files import read_feature_sets
        from ..evaluate.run import evaluate_features

        names = list(self.metrics or ())
        if not self.metrics and self.embeddings is not None:
            names += FEATURE_METRICS
        if not self.metrics and self.logits is not None:
            names += CLASS_METRICS
        paths = self.embeddings or self.logits
        assert paths is not None
        sets = read_feature_sets(self.embeddings, self.logits)
        return evaluate_features(*sets, protocol, names, (str(paths[0]), str(paths[1])))

    def _request(self, protocol: Protocol) -> Request:
        from ..evaluate.request import Request
        from ..evaluate.statement import Statement

        assert self.generated is not None
        return Request(
            self.generated,
            protocol,
            self.reference,
            self.captions,
            self.subset,
            tuple(self.metrics or ()),
            tuple(self.backbone or ()),
            _parse_weights(self.weights or []),
            self.skip_unreadable,
            self.allow_same_ranker,
            self.num_workers,
            Statement(self.candidates, self.ranker),
        )


def _parse_weights(words: list[str]) -> dict[str, Path]:
    """Paths by name of the backbone."""
    weights = {}
    for word in words:
        name, separator, path = word.partition("=")
        if not (name and separator and path):
            raise UsageError(f"--weights {word}: give NAME=PATH, for example clap=models/clap")
        weights[name] = Path(path)
    return weights


def _validate_target(flag: str, path: Path | None, suffix: str) -> None:
    """Raise UsageError if a result cannot be written there."""
    if path is None:
        return
    if path.suffix.lower() != suffix:
        raise UsageError(f"{flag} {path}: the name must end in {suffix}")
    if path.is_dir():
        raise UsageError(f"{flag} {path} is a folder; name a file")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{flag} {path}: the folder does not exist; create it first")
