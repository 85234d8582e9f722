"""The benchmark with an outside ear: answers, faults of codecs, and what each stage states."""

import json

import numpy as np
import pytest

from latentaudio.cli.main import main
from latentaudio.errors import DataError, GenerationError, UsageError
from latentaudio.evaluate.backbones.yamnet import Patches
from latentaudio.evaluate.mini import ear_benchmark, outside_ear
from latentaudio.evaluate.mini.codec_faults import hop_repetition, rise_db
from latentaudio.evaluate.mini.ear_benchmark import (
    EarBenchmark,
    evaluate_mini,
    projected_distance,
    read_recordings,
)
from latentaudio.evaluate.mini.ear_report import EarReport, StageScore
from latentaudio.evaluate.mini.outside_ear import OutsideEar, load_class_labels
from latentaudio.evaluate.mini.word_pairs import WORD_PAIRS
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
def ear(monkeypatch):
    fake = object.__new__(OutsideEar)
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
def test_an_answer_is_right_first_or_among_five(ear, order, expected):
    ear.network = FakeNetwork(order)
    ear.labels["dog"] = {"strict": ["Dog"], "wide": ["Howl"]}
    answer = ear.answer(np.ones(4096, np.float32), "dog")
    assert (answer.best, answer.is_top1, answer.is_top5) == expected
    expected_p = 1 / (1 + np.exp(-(10.0 - order.index("Dog"))))
    assert answer.probability == pytest.approx(expected_p)


def test_a_general_label_counts_where_it_is_the_best_of_a_class(ear):
    ear.network = FakeNetwork(["Music"])
    ear.labels["band"] = {"strict": ["Music"], "wide": []}
    assert ear.answer(np.ones(4096, np.float32), "band").is_top1


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


def benchmark_of(ear, **settings):
    def generate(prompts, duration, seed):
        rng = np.random.default_rng(seed)
        return [0.1 * rng.standard_normal(round(duration * RATE)) for _ in prompts]

    values = {"num_clips": 88, "num_seeds": 3, "duration": DURATION, **settings}
    return EarBenchmark(generate, lambda clip: clip * 0, lambda clip: clip, ear, **values)


def test_every_stage_is_measured(ear):
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    recordings = [("dog", noise), ("rain", noise[::-1].copy()), ("unknown", noise)]
    parts = ("stages", "presets")
    presets = {"draft": ("4 steps", lambda prompt, seed: (noise, 0.25))}
    benchmark = benchmark_of(ear, recordings=recordings, presets=presets)
    report = evaluate_mini(benchmark, EarReport("fake", 0, DURATION), parts)
    stages = {each.stage: each for each in report.stages}
    assert list(stages) == [
        "recordings", "recordings, vocoder", "recordings, VAE and vocoder",
        "renders", "renders, vocoder", "renders, VAE and vocoder", "generated",
    ]  # fmt: skip
    # the ear always says "Dog": one of the two known recordings, one of the three known classes
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


def test_diversity_compares_seeds_with_renders(ear, monkeypatch):
    monkeypatch.setattr(ear_benchmark, "DIVERSITY_PROMPTS", {"rain": "rain", "gone": "x"})
    benchmark = benchmark_of(ear)
    [found] = evaluate_mini(benchmark, EarReport("fake", 0, DURATION), ["diversity"]).diversity
    assert found.n == 3 and found.generated > 0 and found.renders > 0
    same = benchmark_of(ear)
    object.__setattr__(same, "generate", lambda *_: [np.ones(RATE)])
    [found] = evaluate_mini(same, EarReport("fake", 0, DURATION), ["diversity"]).diversity
    assert found.generated == pytest.approx(0, abs=1e-6)


def test_a_clip_that_cannot_be_made_is_silence_and_no_hit(ear):
    def fail(prompts, duration, seed):
        raise GenerationError("silence")

    benchmark = EarBenchmark(fail, lambda x: x, lambda x: x, ear, duration=DURATION)
    pairs = evaluate_mini(benchmark, EarReport("fake", 0, DURATION), ["pairs"]).pairs
    assert [(each.hits, each.median) for each in pairs] == [(0, 0.0)] * 4
    assert [each.n for each in pairs] == [16, 16, 12, 12]


def test_the_tables_are_printed_and_stored(ear, tmp_path):
    report = evaluate_mini(benchmark_of(ear), EarReport("fake", 0, DURATION), ["stages"])
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
    assert str(EarReport("empty", 0, 1.0)) == ""


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
        evaluate_mini(benchmark_of(None, num_clips=1), EarReport("fake", 0, DURATION), [])


def test_the_command_measures_a_model(tiny_folder, tmp_path, monkeypatch, capsys, ear):
    monkeypatch.setattr(outside_ear, "OutsideEar", lambda: ear)
    monkeypatch.setattr("latentaudio.evaluate.mini.classifier.load_classifier", lambda folder: None)
    page = tmp_path / "mini.md"
    flags = ["--parts", "stages", "presets", "--presets", "draft", "--clips", "2", "--seeds", "2"]
    flags += ["--duration", "0.3", "--device", "cpu", "--precision", "fp32", "--quiet"]
    files = ["--output", str(tmp_path / "mini.json"), "--markdown", str(page)]
    monkeypatch.setattr(ear, "labels", {name: {"strict": ["Dog"], "wide": []} for name in
                                        list(get_registry())[:2]})  # fmt: skip
    assert main(["evaluate", "mini", str(tiny_folder), *flags, *files]) == 0
    assert "renders, VAE and vocoder" in capsys.readouterr().out
    assert "| draft |" in page.read_text()
    stored = EarReport.load(tmp_path / "mini.json")
    assert stored.presets[0].seconds > 0 and stored.settings["prompts"] == 2
    assert f"weights: {stored.settings['SHA-256 of the weights']}" in page.read_text()
    # A stopped command goes on, but not with the results of other settings.
    unfinished = tmp_path / "mini.unfinished.json"
    assert not unfinished.exists()
    stored.save(unfinished)
    assert main(["evaluate", "mini", str(tiny_folder), *flags, *files]) == 0
    assert EarReport.load(tmp_path / "mini.json") == stored and not unfinished.exists()
    stored.settings["seeds"] = 3
    stored.presets.clear()
    stored.save(unfinished)
    assert main(["evaluate", "mini", str(tiny_folder), *flags, *files]) == 0
    assert EarReport.load(tmp_path / "mini.json").presets


def test_a_stopped_benchmark_goes_on(ear, tmp_path):
    def measure(report, parts):
        lengths = []

        def store(report):
            report.save(tmp_path / "x.json")
            lengths.append(len(report.stages) + len(report.presets))

        presets = {"draft": ("", lambda prompt, seed: (np.ones(RATE, np.float32), 0.1))}
        evaluate_mini(benchmark_of(ear, presets=presets), report, parts, store)
        return lengths

    whole = EarReport("fake", 0, DURATION)
    assert measure(whole, ["stages", "presets"]) == [3, 4, 5]
    half = EarReport("fake", 0, DURATION, stages=whole.stages[:3])
    assert measure(half, ["stages", "presets"]) == [4, 5]
    assert EarReport.load(tmp_path / "x.json") == half == whole
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
