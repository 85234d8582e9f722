"""The whole bench with toy generators: one that returns true renders scores like renders, one of noise like chance."""

import json
import sys

import numpy as np
import pytest

from latentaudio.benchmark import process_cost
from latentaudio.errors import ConfigError, DataError, GenerationError
from latentaudio.evaluate.mini import quality as module
from latentaudio.evaluate.mini.attributes import QUESTIONS
from latentaudio.evaluate.mini.classifier import Verdict, mel_of
from latentaudio.evaluate.mini.prompts import RATE, in_order, of_every_kind, render, spelling_out
from latentaudio.evaluate.mini.quality import Bench, right, run_bench
from latentaudio.evaluate.report import Line, Report
from procedural_audio.captions.ood_prompts import foreign_prompts
from procedural_audio.registry import find, table

COUNT, EACH, SECONDS = 12, 6, 2.56


class Oracle:
    """A judge that knows by heart which clips are which; anything else it takes for the last kind. It embeds their mean mel."""

    def __init__(self, known):
        self.kinds = tuple(table())
        self.known = {clip.tobytes(): kind for kind, clip in known}

    def hear(self, clips):
        scores = np.full((len(clips), len(self.kinds)), -9.0)
        for row, clip in zip(scores, clips, strict=True):
            row[
                self.kinds.index(
                    self.known.get(np.asarray(clip, np.float32).tobytes(), self.kinds[-1])
                )
            ] = -0.1
        return Verdict(
            scores, np.stack([mel_of(clip).float().mean(dim=0)[::8].numpy() for clip in clips])
        )


@pytest.fixture(scope="module")
def truths():
    """Prompt -> (kind, render) of everything that the bench will ask for."""
    asked = list(of_every_kind(COUNT, 0, SECONDS)) + list(in_order(EACH, 0, SECONDS))
    for question in QUESTIONS.values():
        asked += spelling_out(question, EACH, 0, SECONDS)
    found = {a.prompt: (a.kinds[0], a.truth) for a in asked}
    for index, (kind, prompt) in enumerate(foreign_prompts()):
        found[prompt] = (kind, render(find([kind])[0], 1.28, 7, index)[0])
    return found


def noise(prompts, seconds, seed):
    """The same white noise for the same seed, alone or in company."""
    return [
        np.random.default_rng(seed + k).standard_normal(round(seconds * RATE)).astype(np.float32)
        for k in range(len(prompts))
    ]


def examined(truths, generate, **extra):
    calls = []
    exam = Bench(
        generate,
        Oracle(truths.values()),
        COUNT,
        EACH,
        SECONDS,
        progress=lambda *call: calls.append(call),
    )
    report = run_bench(exam, "toy", command=None, **extra)
    assert ("every kind", COUNT, COUNT) in calls and (
        "foreign wording",
        len(foreign_prompts()),
        len(foreign_prompts()),
    ) in calls
    return report


def test_true_renders_score_like_renders(truths):
    def similarity(clips, prompts):
        return np.array(
            [
                [float(np.array_equal(clip, truths[prompt][1])) for prompt in prompts]
                for clip in clips
            ]
        )

    def generate(prompts, seconds, seed):
        return [
            truths[p][1] if p in truths else noise([p], seconds, seed + k)[0]
            for k, p in enumerate(prompts)
        ]

    report = examined(
        truths,
        generate,
        similarity=similarity,
        resynthesise=lambda clips: [c[::-1].copy() for c in clips],
    )
    assert report.line("judge top-1").value == report.line("judge top-1").ceiling == 1.0
    assert report.line("foreign wording").value == report.line("CLAP R@1").value == 1.0
    assert report.line("Frechet ratio").value == pytest.approx(1.0)
    assert report.line("resynthesis ratio").value == pytest.approx(1.0, abs=0.2), (
        "a mean spectrum does not hear the direction"
    )
    for name in (*QUESTIONS, "order"):
        line = report.line(name)
        assert line.value == line.ceiling >= 0.65 and line.count == EACH
    assert (
        report.line("same seed, difference").reached
        and report.line("list or alone, difference").reached
    )
    assert len(report.kinds) == COUNT and not report.mistakes


def test_noise_scores_like_chance(truths):
    report = examined(truths, noise, resynthesise=lambda clips: noise(clips, SECONDS, 1))
    assert report.line("judge top-1").value == 0.0 and report.line("judge top-1").reached is False
    assert report.line("Frechet ratio").value > 2.5 and report.line("resynthesis ratio").value > 1.3
    assert report.line("foreign wording").value <= 0.05 and report.line("bell").value == 0.0
    assert all(report.line(name).value <= 0.35 for name in (*QUESTIONS, "order"))
    assert report.worst[1] == 0.0 and sum(times for *_, times in report.mistakes) == COUNT


def test_a_clip_that_is_refused_counts_as_silence_and_its_neighbours_stay(truths):
    def moody(prompts, seconds, seed):
        if "b" in prompts:
            raise GenerationError("silence")
        return [np.full(3, seed, np.float32) for _ in prompts]

    exam = Bench(moody, Oracle(()), seconds=1.0, seed=5)
    first, second, third = exam.clips("x", ["a", "b", "c"], 0)
    assert first[0] == 5 and third[0] == 7 and second.shape == (RATE,) and not second.any()


def test_either_voice_passes_for_the_other():
    verdict = Verdict(np.eye(3)[[0, 1, 2]], np.zeros((3, 1)))
    kinds = ("male speech", "female speech", "dog")
    assert right(verdict, kinds, ["female speech", "female speech", "male speech"]).tolist() == [
        True,
        True,
        False,
    ]


def test_a_batch_that_changes_its_clips_is_seen(truths):
    def company(prompts, seconds, seed):
        return [clip + 1e-3 * (len(prompts) - 1) for clip in noise(prompts, seconds, seed)]

    report = examined(truths, noise, together=company)
    assert report.line("one batch or alone, difference").value == pytest.approx(1e-3, rel=1e-3)
    assert (
        examined(truths, noise, together=noise).line("one batch or alone, difference").value == 0.0
    )
    assert examined(truths, company).line("list or alone, difference").reached is False


def test_a_bench_of_one_clip_is_refused():
    with pytest.raises(ConfigError, match="at least 2 clips"):
        run_bench(Bench(noise, Oracle(()), count=1), "toy")


def test_a_judge_of_another_table_is_refused():
    exam = Bench(noise, Oracle(()))
    exam.judge.kinds = exam.judge.kinds[1:]
    with pytest.raises(ConfigError, match=rf"{next(iter(table()))}.*recipes/mini/judge\.py"):
        run_bench(exam, "toy")


def test_a_report_is_a_table_and_json(tmp_path):
    lines = [
        Line("good", 0.91, "%", 440, 3, 0.9, ceiling=0.98),
        Line("slow", 4.0, "s", 5, 3, 3.0, True),
        Line("tiny", 2e-6, "", 2, 0),
    ]
    report = Report("toy", lines, {"dog": 1.0, "cat": 0.25}, [("cat", "dog", 3)])
    assert [line.reached for line in lines] == [True, False, None]
    words = str(report).splitlines()
    assert "91.0%" in words[3] and "98.0%" in words[3] and "440" in words[3] and "yes" in words[3]
    assert "2e-06" in words[5] and "NO" in words[4] and report.worst == ("cat", 0.25)
    assert words[-2].endswith("cat 25%, dog 100%") and words[-1] == "mistaken: cat for dog (3x)"
    report.save(tmp_path / "bench.json")
    told = json.loads((tmp_path / "bench.json").read_text())
    assert told == report.as_dict() and told["lines"][1]["reached"] is False


def test_a_command_is_timed_and_weighed():
    cost = process_cost.cost_of(
        (sys.executable, "-c", "import time; x = bytearray(b'1' * 300_000_000); time.sleep(0.2)")
    )
    assert 0.3 <= cost.gigabytes <= 1.0 and cost.seconds >= 0.2
    small = process_cost.cost_of((sys.executable, "-c", "pass"))
    assert small.gigabytes < 0.1, "the weight is the command's own, not that of the heaviest so far"


def test_a_failing_command_says_its_last_words():
    with pytest.raises(DataError, match="code 3: no such model"):
        process_cost.cost_of(
            (
                sys.executable,
                "-c",
                "import sys; print('a\\nno such model', file=sys.stderr); sys.exit(3)",
            )
        )


def test_the_cold_start_wants_a_file(tmp_path):
    script = tmp_path / "toy.py"
    script.write_text(
        "import sys; from pathlib import Path; Path(sys.argv[sys.argv.index('-o') + 1]).write_bytes(b'x')\n"
    )
    assert process_cost.cold_clip("toy", "a bell", 1.0, (sys.executable, str(script))).seconds > 0
    with pytest.raises(DataError, match="wrote no file"):
        process_cost.cold_clip("toy", "a bell", 1.0, (sys.executable, "-c", "pass"))


def test_the_speed_lines_come_from_the_command(monkeypatch):
    monkeypatch.setattr(module.speed, "cold_clip", lambda *_: process_cost.Cost(11.0, 1.0))
    monkeypatch.setattr(module.speed, "help_seconds", lambda **_: 0.4)
    report = Report("toy")
    module._timed(Bench(noise, Oracle(()), seconds=0.1), report, "toy", ("x",), ())
    assert [report.line(n).reached for n in ("cold shell to file", "peak memory", "--help")] == [
        False,
        True,
        True,
    ]
