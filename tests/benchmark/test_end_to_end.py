"""The cost of a clip with a model's own weights, beside its targets."""

import sys

from latentaudio.benchmark import end_to_end
from latentaudio.benchmark.end_to_end import EndToEndCost, measure_end_to_end


class FakeModel:
    def __init__(self):
        self.calls = []

    def generate(self, prompt, **options):
        self.calls.append((prompt, options["duration"], options["seed"]))


def test_every_measure_comes_from_its_run(tmp_path):
    script = tmp_path / "toy.py"
    script.write_text(
        "import sys; from pathlib import Path\n"
        "Path(sys.argv[0]).with_suffix('.log').open('a').write(' '.join(sys.argv[1:]) + '\\n')\n"
        "if 'generate' in sys.argv:\n"
        "    Path(sys.argv[sys.argv.index('-o') + 1]).write_bytes(b'x')\n"
    )
    model = FakeModel()
    ticks = []
    cost = measure_end_to_end(
        model,
        "toy",
        command=(sys.executable, str(script)),
        flags=("--device", "cpu"),
        progress=lambda *tick: ticks.append(tick),
    )
    assert model.calls == [(end_to_end.PROMPT, 10.24, seed) for seed in range(6)]
    [generate, *helps] = script.with_suffix(".log").read_text().splitlines()
    assert "--model toy --device cpu" in generate
    assert helps == ["--help"] * 6
    assert cost.cold_start_s > 0 and cost.cli_startup_s > 0 and cost.peak_rss_gb > 0
    assert [done for done, _, _ in ticks] == [0, 1, 2]


def test_a_measure_passes_if_it_is_within_its_target():
    rows = EndToEndCost("toy", 2.9, 11.0, 1.0, 0.4).rows()
    assert rows[0] == ("latency (warm)", "2.90 s", "<= 3.00 s", "5", "pass")
    assert [row[-1] for row in rows] == ["pass", "FAIL", "pass", "pass"]
