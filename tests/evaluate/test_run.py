"""An evaluation of folders: pairs, guards, cache, and what every value states."""

import json
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_backbone import TinyBackbone, spec_of

from latentaudio.audio.io import write
from latentaudio.errors import DataError, UsageError
from latentaudio.evaluate import backbones, extraction
from latentaudio.evaluate.embeddings_cache import FILE_NAME, EmbeddingsCache
from latentaudio.evaluate.protocols import PROTOCOLS
from latentaudio.evaluate.report import load_evaluation
from latentaudio.evaluate.request import Request
from latentaudio.evaluate.run import evaluate_folders
from latentaudio.evaluate.statement import Statement

RATE = 8000
PROTOCOL = replace(PROTOCOLS["recommended"], backbones=("tiny",))
NUM_CLIPS = 7


@pytest.fixture
def tiny_backbone(monkeypatch):
    backbone = TinyBackbone("tiny")
    rows = {"tiny": spec_of(backbone, has_classes=True, has_texts=True)}
    monkeypatch.setattr(backbones, "BACKBONES", rows)
    return backbone


def make_clips(folder, seed, num_clips=NUM_CLIPS, duration=0.3, tags=None, extension="wav"):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for number in range(num_clips):
        samples = 0.1 * rng.standard_normal(round(duration * RATE)).astype(np.float32)
        path = folder / f"clip{number}.{extension}"
        write(path, np.cumsum(samples)[None] * 0.05 if number % 2 else samples[None], RATE, tags)


@pytest.fixture
def folders(tmp_path, tiny_backbone):
    make_clips(tmp_path / "generated", 0)
    make_clips(tmp_path / "reference", 1)
    return tmp_path


def run(folder, cache=None, **settings):
    request = Request(
        folder / "generated", PROTOCOL, folder / "reference", num_workers=2, **settings
    )
    with EmbeddingsCache(cache) as features:
        return evaluate_folders(request, features)


def values_of(result):
    return {(value.metric, value.variant): value for value in result.values}


def test_every_value_states_all_that_it_depends_on(folders):
    result = run(folders, statement=Statement(3, "clap=x", 2.5, 40, 7))
    values = values_of(result)
    assert {name for name, _ in values} == {
        "frechet", "frechet-infinity", "kad", "kl", "inception-score"
    }  # fmt: skip
    value = values["kad", ""]
    assert value.n == NUM_CLIPS and value.interval[0] < value.value < value.interval[1]
    assert (value.backbone, value.weights_sha256) == ("tiny", "0" * 64)
    assert value.sample_rate == RATE and value.resampler.startswith("soxr")
    assert value.protocol == "recommended"
    assert (value.candidates, value.ranker) == (3, "clap=x")
    assert (value.guidance_scale, value.steps, value.seed) == (2.5, 40, 7)
    assert value.prompts_sha256 is None  # there are no captions
    [missing] = result.not_computed
    assert missing.metric == "clap-score" and "--captions" in missing.reason
    assert "each clip is the best of 3 candidates, ranked by clap=x" in result.warnings
    assert result.generated.levels["duration_s"].mean == pytest.approx(0.3)
    assert len(values["kl", "softmax, reference || generated"].by_clip) == NUM_CLIPS


@pytest.mark.parametrize("num_clips", range(1, 8))
def test_few_clips_give_numbers_or_reasons(num_clips, tmp_path, tiny_backbone):
    for side in ("generated", "reference"):
        make_clips(tmp_path / side, len(side), num_clips)
    result = run(tmp_path)
    measured = {value.metric for value in result.values}
    left_out = {each.metric: each.reason for each in result.not_computed}
    assert measured | set(left_out) == set(PROTOCOL.metrics)
    assert ("frechet" in measured) == (num_clips >= 2)
    assert ("frechet-infinity" in measured) == (num_clips >= 6)
    if num_clips < 6:
        assert left_out["frechet-infinity"].endswith("has fewer than 6 clips")


def test_a_clip_of_one_frame_is_compared(folders):
    write(folders / "generated" / "clip0.wav", np.full((1, 60), 0.1, np.float32), RATE)
    values = values_of(run(folders, metrics=("ssim", "psnr", "lsd")))
    assert 0 < values["ssim", ""].by_clip["clip0"] < 1


def test_features_that_overflow_are_unreadable(folders, tiny_backbone, monkeypatch):
    embed = tiny_backbone.embed
    write(folders / "generated" / "clip0.wav", np.full((1, 2000), 0.5, np.float32), RATE)

    def overflow(samples):
        features = embed(samples)
        factor = np.inf if samples.min() > 0.4 else 1
        return replace(features, embeddings=factor * features.embeddings)

    monkeypatch.setattr(tiny_backbone, "embed", overflow)
    with pytest.raises(DataError, match=r"tiny gives values for .*clip0.wav that are not finite"):
        run(folders)
    result = run(folders, skip_unreadable=True, metrics=("frechet",))
    assert [Path(path).name for path in result.generated.skipped] == ["clip0.wav"]


@pytest.mark.parametrize("kind", ["NOT LIKE", "LIKE"])
def test_a_damaged_entry_is_computed_again(folders, tmp_path, kind):
    cache = tmp_path / "cache"
    result = run(folders, cache)
    with sqlite3.connect(cache / FILE_NAME) as database:
        [(entry,)] = database.execute(f"SELECT data FROM checked WHERE key {kind} 'facts%' LIMIT 1")
        damaged = entry[:-2] + bytes([entry[-2] ^ 1]) + entry[-1:]
        database.execute("UPDATE checked SET data = ? WHERE data = ?", (damaged, entry))
    assert run(folders, cache) == result


def test_a_stored_result_is_read_back(folders, tmp_path):
    result = run(folders)
    result.save(tmp_path / "result.json")
    assert load_evaluation(tmp_path / "result.json") == result
    assert json.loads((tmp_path / "result.json").read_text())["schema_version"] == 1
    result.save_csv(tmp_path / "result.csv")
    rows = (tmp_path / "result.csv").read_text().splitlines()
    assert len(rows) == 1 + NUM_CLIPS and rows[1].startswith("clip0,")
    text = str(result)
    assert "Fréchet distance" in text and "loudness_lufs" in text and "bandwidth" in text


def test_a_second_run_computes_nothing_and_gives_the_same_numbers(folders, tiny_backbone):
    first = run(folders, folders / "cache")
    assert tiny_backbone.num_calls == 2 * NUM_CLIPS
    assert run(folders, folders / "cache") == first
    assert tiny_backbone.num_calls == 2 * NUM_CLIPS


@pytest.mark.parametrize("change", ["rename", "protocol", "version", "weights", "audio"])
def test_the_key_of_the_cache_is_all_that_changes_features(folders, tiny_backbone, change):
    run(folders, folders / "cache")
    num_calls = tiny_backbone.num_calls
    expected = 2 * NUM_CLIPS
    if change == "rename":
        (folders / "generated").rename(folders / "other")
        shutil.copytree(folders / "other", folders / "generated")
        expected = 0
    elif change == "protocol":
        request = Request(folders / "generated", replace(PROTOCOL, removes_mean=True))
        with EmbeddingsCache(folders / "cache") as features:
            evaluate_folders(request, features)
        assert tiny_backbone.num_calls == num_calls + NUM_CLIPS
        return
    elif change == "version":
        tiny_backbone.version = 2
    elif change == "weights":
        tiny_backbone.weights_sha256 = "1" * 64
    else:
        make_clips(folders / "generated", 5, num_clips=1)
        expected = 1
    run(folders, folders / "cache")
    assert tiny_backbone.num_calls == num_calls + expected


def test_an_interrupted_run_goes_on(folders, tiny_backbone, monkeypatch):
    def interrupted(done, total, work):
        if done == 4:
            raise KeyboardInterrupt

    request = Request(folders / "generated", PROTOCOL, folders / "reference", num_workers=1)
    with pytest.raises(KeyboardInterrupt), EmbeddingsCache(folders / "cache") as features:
        evaluate_folders(request, features, interrupted)
    tiny_backbone.num_calls = 0
    run(folders, folders / "cache")
    assert tiny_backbone.num_calls == 2 * NUM_CLIPS - 4


def test_a_damaged_cache_is_one_line(folders):
    cache = folders / "cache"
    cache.mkdir()
    (cache / FILE_NAME).write_bytes(b"no database" * 100)
    with pytest.raises(DataError, match="cannot be used"):
        run(folders, cache)


def test_unreadable_and_empty_files_are_errors_unless_they_are_counted(folders):
    (folders / "generated" / "clip1.wav").write_bytes(b"RIFFnonsense")
    soundfile.write(folders / "reference" / "clip2.wav", np.zeros(0), RATE)
    with pytest.raises(DataError, match=r"clip1\.wav.*--skip-unreadable"):
        run(folders)
    result = run(folders, skip_unreadable=True)
    assert result.generated.n == NUM_CLIPS - 1
    assert [each.endswith("clip1.wav") for each in result.generated.skipped] == [True]
    assert [each.endswith("clip2.wav") for each in result.reference.skipped] == [True]
    assert "2 unreadable files left out" in str(result)
    shutil.rmtree(folders / "generated")
    make_clips(folders / "generated", 0, num_clips=1)
    (folders / "generated" / "clip0.wav").write_bytes(b"")
    with pytest.raises(DataError, match=r"no file of .* can be read"):
        run(folders, skip_unreadable=True)


def test_samples_that_are_not_finite_are_unreadable(folders):
    soundfile.write(
        folders / "generated" / "clip1.wav", np.array([0.1, np.nan]), RATE, subtype="FLOAT"
    )
    with pytest.raises(DataError, match="not finite"):
        run(folders)


def test_folders_that_share_files_are_errors(folders):
    make_clips(folders / "generated" / "reference", 3)
    for reference in (folders / "generated", folders / "generated" / "reference", folders):
        request = Request(folders / "generated", PROTOCOL, reference)
        with (
            pytest.raises(UsageError, match=r"same folder|lies inside"),
            EmbeddingsCache(None) as c,
        ):
            evaluate_folders(request, c)


def test_silence_copies_leaks_lengths_and_rates_are_warnings(folders):
    write(folders / "generated" / "clip0.wav", np.zeros((1, 2400), np.float32), RATE)
    shutil.copy(folders / "generated" / "clip1.wav", folders / "generated" / "clip2.wav")
    shutil.copy(folders / "reference" / "clip3.wav", folders / "generated" / "clip3.wav")
    warnings = " | ".join(run(folders).warnings)
    assert "1 of 7 generated clips are silent (clip0)" in warnings
    assert "2 generated clips are copies of each other (clip1, clip2)" in warnings
    assert "1 generated files are also reference files (clip3)" in warnings
    assert "Hz" not in warnings and "(medians)" not in warnings
    make_clips(folders / "reference", 9, duration=0.5)
    soundfile.write(folders / "reference" / "clip0.wav", np.ones(4000) * 0.1, 16000)
    warnings = " | ".join(run(folders).warnings)
    assert "generated clips have 0.3 s and reference clips 0.5 s" in warnings
    assert "8000 Hz and reference clips 8000, 16000 Hz" in warnings


def test_names_that_do_not_pair_leave_pairs_out_or_are_an_error_if_named(folders):
    (folders / "generated" / "clip0.wav").rename(folders / "generated" / "other.wav")
    result = run(folders)
    assert "kl" not in {value.metric for value in result.values}
    [reason] = [each.reason for each in result.not_computed if each.metric == "kl"]
    assert "1 of 7 generated clips have no reference clip of the same name (other)" in reason
    with pytest.raises(UsageError, match="kl cannot be measured"):
        run(folders, metrics=("kl",))


def test_files_pair_by_name_whatever_their_format_and_one_name_is_one_clip(folders):
    shutil.rmtree(folders / "reference")
    make_clips(folders / "reference", 1, extension="flac")
    assert "kl" in {value.metric for value in run(folders, metrics=("kl", "lsd")).values}
    make_clips(folders / "reference", 1, num_clips=1)
    with pytest.raises(DataError, match="have the same name"):
        run(folders)


def test_metrics_of_signals_need_no_backbone(folders, tiny_backbone):
    result = run(folders, metrics=("lsd", "ssim", "psnr"))
    assert tiny_backbone.num_calls == 0
    assert [value.backbone for value in result.values] == [None] * 3
    shutil.rmtree(folders / "reference")
    shutil.copytree(folders / "generated", folders / "reference")
    distances = {value.metric: value.value for value in run(folders, metrics=("lsd",)).values}
    assert distances == {"lsd": 0}


def test_captions_come_from_a_file_or_from_tags_and_their_hash_is_stated(folders):
    captions = folders / "captions.csv"
    rows = [f"clip{k}.wav,{'a' * (k + 1)}" for k in range(NUM_CLIPS)]
    captions.write_text("file_name,caption\n" + "\n".join(rows))
    result = run(folders, captions=captions, metrics=("clap-score",))
    [value] = result.values
    assert value.n == NUM_CLIPS and len(value.prompts_sha256) == 64
    assert value.details["reference"] != value.value
    captions.write_text("file_name,caption\nclip0.wav,a dog\n")
    with pytest.raises(UsageError, match="6 clips have no caption"):
        run(folders, captions=captions, metrics=("clap-score",))
    make_clips(folders / "generated", 0, tags={"prompt": "rain", "candidates": "4", "seed": "9"})
    [from_tags] = run(folders, metrics=("clap-score",)).values
    assert (from_tags.candidates, from_tags.seed) == (4, 9)


def test_a_score_above_that_of_true_clips_is_a_warning(folders):
    tags = {"prompt": "rain"}
    make_clips(folders / "generated", 1, tags=tags)
    make_clips(folders / "reference", 0, tags=tags)
    result = run(folders, metrics=("clap-score",))
    swapped = replace(PROTOCOL)
    request = Request(folders / "reference", swapped, folders / "generated",
                      metrics=("clap-score",))  # fmt: skip
    with EmbeddingsCache(None) as features:
        other = evaluate_folders(request, features)
    warnings = [*result.values[0].warnings, *other.values[0].warnings]
    assert len(warnings) == 1 and "above the score of the true clips" in warnings[0]


def test_the_network_that_ranked_candidates_does_not_rate_them(folders):
    tags = {"prompt": "rain", "candidates": "3"}
    make_clips(folders / "generated", 0, tags=tags)
    statement = Statement(ranker="tiny")
    with pytest.raises(UsageError, match="--allow-same-ranker"):
        run(folders, metrics=("clap-score",), statement=statement)
    (folders / "same weights").touch()
    other = Statement(ranker=f"tiny={folders / 'same weights'}")
    with pytest.raises(UsageError, match="--allow-same-ranker"):
        run(folders, metrics=("clap-score",), statement=other)
    unknown = run(folders, metrics=("clap-score",), statement=Statement(ranker="clap=absent"))
    assert any("clap=absent, which ranked" in text for text in unknown.warnings)
    result = run(folders, metrics=("clap-score",), statement=statement, allow_same_ranker=True)
    assert any("the score is too good" in text for text in result.warnings)


def test_networks_of_mini_are_never_called_fad_or_clap(folders, monkeypatch, tiny_backbone):
    spec = spec_of(tiny_backbone, has_classes=True, has_texts=True, is_of_mini=True)
    monkeypatch.setattr(backbones, "BACKBONES", {"tiny": spec})
    make_clips(folders / "generated", 0, tags={"prompt": "rain"})
    metrics = ("frechet", "frechet-infinity", "kad", "kid", "clap-score")
    titles = " ".join(value.title for value in run(folders, metrics=metrics).values)
    assert not {"FAD", "CLAP", "KAD", "KID"} & set(
        titles.replace("(", " ").replace(")", " ").split()
    )


def test_memory_holds_two_clips_for_each_thread(folders, monkeypatch):
    waiting = []
    finished = extraction._finished

    def counted(queue):
        waiting.append(len(queue))
        return finished(queue)

    monkeypatch.setattr(extraction, "_finished", counted)
    make_clips(folders / "generated", 0, num_clips=20)
    make_clips(folders / "reference", 1, num_clips=20)
    run(folders)
    assert max(waiting) == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"metrics": ("fad",)}, "there is no metric 'fad'"),
        ({"backbones": ("vgg",)}, "there is no backbone 'vgg'"),
        ({"weights": {"tiny2": "x"}}, "there is no backbone 'tiny2'"),
    ],
)
def test_unknown_names_are_one_line(folders, settings, message):
    with pytest.raises(UsageError, match=message):
        run(folders, **settings)
