"""The benchmark with YAMNet: results, faults of codecs, and what each stage states."""

import json

import numpy as np
import pytest

from latentaudio.cli.main import main
from latentaudio.errors import DataError, GenerationError, UsageError
from latentaudio.evaluate.backbones.yamnet import Patches
from latentaudio.evaluate.mini import yamnet_benchmark, yamnet_classifier
from latentaudio.evaluate.mini.codec_faults import hop_repetition, rise_db
from latentaudio.evaluate.mini.word_pairs import WORD_PAIRS
from latentaudio.evaluate.mini.yamnet_benchmark import (
    YAMNetBenchmark,
    evaluate_mini,
    projected_distance,
    read_recordings,
)
from latentaudio.evaluate.mini.yamnet_classifier import YAMNetClassifier, load_class_labels
from latentaudio.evaluate.mini.yamnet_report import StageScore, YAMNetReport
from procedural_audio.registry import get_registry

RATE = 16000
DURATION = 0.64
LABELS = ["Silence", "Animal", "Dog", "Howl", "Rain", "Bell", "Synthesizer", "Speech", "Music"]


class FakeNetwork:
    """Logits that the test sets; embeddings are band energies, so unlike clips differ."""

    labels = LABELS

    def __init__(self, order=None):
        self.order = order

    def __call__(self, samples):
        power = np.square(np.abs(np.fft.rfft(samples[:4096], 4096)))
        bands = np.log([part.mean() + 1e-6 for part in np.array_split(power, 8)])
        logits = bands[:8].mean() * np.ones(len(LABELS))
        for rank, label in enumerate(self.order or ()):
            logits[LABELS.index(label)] = 10.0 - rank
        both = np.stack([bands, bands + 0.1])
        return Patches(np.stack([logits, logits]), both, np.ones(2))


@pytest.fixture
def yamnet(monkeypatch):
    fake = object.__new__(YAMNetClassifier)
    fake.network = FakeNetwork(["Dog"])
    strict = {"dog": "Dog", "rain": "Rain", "bell": "Bell"}
    fake.labels = {name: {"strict": [label], "wide": []} for name, label in strict.items()}
    return fake


def test_every_sound_class_has_labels():
    labels = load_class_labels()
    assert set(get_registry()) <= set(labels)
    assert all(each["strict"] for each in labels.values())


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (["Dog"], ("Dog", True, True)),
        (["Silence", "Animal", "Dog"], ("Dog", True, True)),  # scenes and groups do not count
        (["Howl", "Rain", "Dog"], ("Howl", True, True)),  # also right, but not the class itself
        (["Rain", "Bell", "Howl", "Speech", "Dog"], ("Rain", False, True)),
        (["Rain", "Bell", "Howl", "Speech", "Synthesizer", "Dog"], ("Rain", False, False)),
    ],
)
def test_a_result_is_right_first_or_among_five(yamnet, order, expected):
    yamnet.network = FakeNetwork(order)
    yamnet.labels["dog"] = {"strict": ["Dog"], "wide": ["Howl"]}
    result = yamnet.recognize(np.ones(4096, np.float32), "dog")
    assert (result.best, result.is_top1, result.is_top5) == expected
    expected_p = 1 / (1 + np.exp(-(10.0 - order.index("Dog"))))
    assert result.probability == pytest.approx(expected_p)


def test_a_general_label_counts_where_it_is_the_best_of_a_class(yamnet):
    yamnet.network = FakeNetwork(["Music"])
    yamnet.labels["band"] = {"strict": ["Music"], "wide": []}
    assert yamnet.recognize(np.ones(4096, np.float32), "band").is_top1


def test_noise_that_repeats_every_hop_is_found():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(RATE).astype(np.float32)
    assert abs(hop_repetition(noise)) < 0.03
    repeated = np.tile(rng.standard_normal(160), 100) + 0.7 * noise
    assert hop_repetition(repeated) > 0.4
    assert hop_repetition(np.zeros(RATE)) == hop_repetition(np.ones(RATE)) == 0.0


def test_the_rise_is_that_of_the_attack():
    times = np.arange(RATE) / RATE
    tone = np.sin(2 * np.pi * 1000 * times)
    sudden = np.where(times < 0.5, 0.01, 1.0) * tone
    slow = np.interp(times, [0.4, 0.6], [0.01, 1.0]) * tone
    assert rise_db(sudden) == pytest.approx(40, abs=0.5)
    assert rise_db(slow) < 20
    assert rise_db(np.zeros(RATE)) == 0.0


def test_a_distance_on_axes_of_few_points_is_that_of_the_means():
    rng = np.random.default_rng(0)
    points = rng.standard_normal((50, 6))
    assert projected_distance(points, points) == pytest.approx(0, abs=1e-9)
    assert projected_distance(points + 2.0, points) == pytest.approx(6 * 4.0)


def test_word_pairs_are_told_apart_by_their_measures():
    times = np.arange(2 * RATE) / RATE
    rng = np.random.default_rng(0)
    clicks = {}
    for word, hertz in (("slow", 2), ("fast", 5)):
        clicks[word] = np.exp(-60 * (times % (1 / hertz))) * rng.standard_normal(len(times))
    tones = {w: np.sin(2 * np.pi * f * times) for w, f in (("low", 220), ("high", 440))}
    levels = {"quiet": 0.01 * tones["low"], "loud": 0.1 * tones["low"]}
    clips = {**clicks, **tones, **levels, "distant": levels["quiet"], "close": levels["loud"]}
    expected = {"slow": np.log2(2.5), "low": 12, "quiet": 20, "distant": 20}
    for pair in WORD_PAIRS:
        low, high = (pair.measure(clips[word]) for word in pair.words)
        assert high - low == pytest.approx(expected[pair.words[0]], abs=0.1), pair.words
        assert high - low >= pair.least


def benchmark_of(yamnet, **settings):
    def generate(prompts, duration, seed):
        rng = np.random.default_rng(seed)
        return [0.1 * rng.standard_normal(round(duration * RATE)) for _ in prompts]

    values = {"num_clips": 88, "num_seeds": 3, "duration": DURATION, **settings}
    return YAMNetBenchmark(generate, lambda clip: clip * 0, lambda clip: clip, yamnet, **values)


def test_every_stage_is_measured(yamnet):
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    recordings = [("dog", noise), ("rain", noise[::-1].copy()), ("unknown", noise)]
    parts = ("stages", "presets")
    presets = {"draft": ("4 steps", lambda prompt, seed: (noise, 0.25))}
    benchmark = benchmark_of(yamnet, recordings=recordings, presets=presets)
    report = evaluate_mini(benchmark, YAMNetReport("fake", 0, DURATION), parts)
    stages = {each.stage: each for each in report.stages}
    assert list(stages) == [
        "recordings", "recordings, vocoder", "recordings, VAE and vocoder",
        "renders", "renders, vocoder", "renders, VAE and vocoder", "generated",
    ]  # fmt: skip
    # YAMNet always says "Dog": one of the two known recordings, one of the three known classes
    assert stages["recordings"].top1 == 0.5 and stages["recordings"].n == 2
    assert stages["renders"].n == 3 and stages["renders"].top5_by_class["dog"] == 1.0
    assert stages["recordings"].frechet is None
    # the codec changes nothing, the vocoder makes silence
    same = stages["recordings, VAE and vocoder"].frechet
    assert same == pytest.approx(0, abs=1e-9)
    assert stages["recordings, vocoder"].frechet > 1
    assert stages["renders, VAE and vocoder"] == StageScore(
        **{**vars(stages["renders"]), "stage": "renders, VAE and vocoder"}
    )
    assert stages["renders"].worst_class == "rain" and stages["generated"].accuracy is None
    [preset] = report.presets
    assert (preset.stage, preset.settings, preset.seconds) == ("draft", "4 steps", 0.25)
    assert not report.diversity and not report.pairs


def test_diversity_compares_seeds_with_renders(yamnet, monkeypatch):
    monkeypatch.setattr(yamnet_benchmark, "DIVERSITY_PROMPTS", {"rain": "rain", "gone": "x"})
    benchmark = benchmark_of(yamnet)
    [found] = evaluate_mini(benchmark, YAMNetReport("fake", 0, DURATION), ["diversity"]).diversity
    assert found.n == 3 and found.generated > 0 and found.renders > 0
    same = benchmark_of(yamnet)
    object.__setattr__(same, "generate", lambda *_: [np.ones(RATE)])
    [found] = evaluate_mini(same, YAMNetReport("fake", 0, DURATION), ["diversity"]).diversity
    assert found.generated == pytest.approx(0, abs=1e-6)


def test_a_clip_that_cannot_be_made_is_silence_and_no_hit(yamnet):
    def fail(prompts, duration, seed):
        raise GenerationError("silence")

    benchmark = YAMNetBenchmark(fail, lambda x: x, lambda x: x, yamnet, duration=DURATION)
    pairs = evaluate_mini(benchmark, YAMNetReport("fake", 0, DURATION), ["pairs"]).pairs
    assert [(each.hits, each.median) for each in pairs] == [(0, 0.0)] * 4
    assert [each.n for each in pairs] == [16, 16, 12, 12]


def test_the_tables_are_printed_and_stored(yamnet, tmp_path):
    report = evaluate_mini(benchmark_of(yamnet), YAMNetReport("fake", 0, DURATION), ["stages"])
    text = str(report)
    assert "renders, VAE and vocoder" in text and "generated" in text
    report.save(tmp_path / "x.json")
    stored = json.loads((tmp_path / "x.json").read_text())
    assert stored["model"] == "fake" and stored["stages"][0]["stage"] == "renders"
    report.save_markdown(tmp_path / "x.md", "latentaudio evaluate mini")
    page = (tmp_path / "x.md").read_text()
    assert page.startswith("# Quality of `fake`") and "    latentaudio evaluate mini\n" in page
    for line in page.splitlines():
        if line.startswith("| renders"):
            assert line.count("|") == 13
    assert str(YAMNetReport("empty", 0, 1.0)) == ""


def test_recordings_come_from_the_table_of_the_script(tmp_path):
    from latentaudio.audio.io import write

    write(tmp_path / "a.wav", np.full((1, 800), 0.1, np.float32), 8000)
    rows = [{"file_name": "a.wav", "kinds": ["dog"]}, {"file_name": "a.wav", "kinds": []}]
    table = tmp_path / "metadata.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    [(name, samples)] = read_recordings(tmp_path)
    assert name == "dog" and samples.shape == (1600,)
    for text in ("", "3\n", "{", '{"kinds": ["dog"]}\n', '{"kinds": ["dog"], "file_name": "b"}\n'):
        table.write_text(text)
        with pytest.raises(DataError):
            read_recordings(tmp_path)
    with pytest.raises(DataError, match="cannot read"):
        read_recordings(tmp_path / "none")
    with pytest.raises(UsageError, match="two clips"):
        evaluate_mini(benchmark_of(None, num_clips=1), YAMNetReport("fake", 0, DURATION), [])


def test_the_command_measures_a_model(tiny_folder, tmp_path, monkeypatch, capsys, yamnet):
    monkeypatch.setattr(yamnet_classifier, "YAMNetClassifier", lambda: yamnet)
    monkeypatch.setattr("latentaudio.evaluate.mini.classifier.load_classifier", lambda folder: None)
    page = tmp_path / "mini.md"
    flags = ["--parts", "stages", "presets", "--presets", "draft", "--clips", "2", "--seeds", "2"]
    flags += ["--duration", "0.3", "--device", "cpu", "--precision", "fp32", "--quiet"]
    files = ["--output", str(tmp_path / "mini.json"), "--markdown", str(page)]
    monkeypatch.setattr(yamnet, "labels", {name: {"strict": ["Dog"], "wide": []} for name in
                                        list(get_registry())[:2]})  # fmt: skip
    assert main(["evaluate", "mini", str(tiny_folder), *flags, *files]) == 0
    assert "renders, VAE and vocoder" in capsys.readouterr().out
    assert "| draft |" in page.read_text()
    stored = YAMNetReport.load(tmp_path / "mini.json")
    assert stored.presets[0].seconds > 0 and stored.settings["prompts"] == 2
    assert f"weights: {stored.settings['SHA-256 of the weights']}" in page.read_text()
    # A stopped command goes on, but not with the results of other settings.
    unfinished = tmp_path / "mini.unfinished.json"
    assert not unfinished.exists()
    stored.save(unfinished)
    assert main(["evaluate", "mini", str(tiny_folder), *flags, *files]) == 0
    assert YAMNetReport.load(tmp_path / "mini.json") == stored and not unfinished.exists()
    stored.settings["seeds"] = 3
    stored.presets.clear()
    stored.save(unfinished)
    assert main(["evaluate", "mini", str(tiny_folder), *flags, *files]) == 0
    assert YAMNetReport.load(tmp_path / "mini.json").presets


def test_a_stopped_benchmark_goes_on(yamnet, tmp_path):
    def measure(report, parts):
        lengths = []

        def store(report):
            report.save(tmp_path / "x.json")
            lengths.append(len(report.stages) + len(report.presets))

        presets = {"draft": ("", lambda prompt, seed: (np.ones(RATE, np.float32), 0.1))}
        evaluate_mini(benchmark_of(yamnet, presets=presets), report, parts, store)
        return lengths

    whole = YAMNetReport("fake", 0, DURATION)
    assert measure(whole, ["stages", "presets"]) == [3, 4, 5]
    half = YAMNetReport("fake", 0, DURATION, stages=whole.stages[:3])
    assert measure(half, ["stages", "presets"]) == [4, 5]
    assert YAMNetReport.load(tmp_path / "x.json") == half == whole
    assert measure(half, ["stages", "presets"]) == []


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--parts", "x"], "--parts x"),
        (["--presets", "x"], "--presets x"),
        (["--clips", "1"], "--clips 1"),
        (["--quality-clips", "1"], "--quality-clips 1: it must be 2 or more"),
        (["--output", "x.txt"], "--output x.txt"),
        (["--markdown", "nowhere/x.md"], "the folder does not exist"),
        (["--recordings", "nowhere"], "cannot read nowhere"),
    ],
)
def test_a_wrong_command_is_one_line(words, reason, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "mini", *words]) == 2
    assert reason in capsys.readouterr().err
