"""`latentaudio batch`: every row a file, every file a line, and whatever stops it the same command goes on to the byte."""

import hashlib
import json
import signal
import subprocess
import sys
import time

import pytest
import soundfile

from latentaudio.audio.io import info
from latentaudio.cli.batch import Manifest
from latentaudio.cli.batch_list import planned
from latentaudio.cli.main import main
from latentaudio.errors import GenerationError, UsageError

QUICK = ("--steps", "1", "--seconds", "0.3", "--device", "cpu")


@pytest.fixture
def run(tiny_folder, tmp_path, monkeypatch, capsys):
    """Calls batch on the tiny model in an empty folder; returns code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*tokens):
        how = [] if "--model" in tokens else ["--model", str(tiny_folder)]
        return main(["batch", *tokens, *QUICK, *how]), *capsys.readouterr()

    return call


@pytest.fixture
def listed(tmp_path):
    """Writes a list and returns its name."""

    def write(text, name="list.csv"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return name

    return write


def lines(folder):
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def files(folder):
    return {
        path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.jsonl"
    }


def test_rows_come_before_flags_and_the_manifest_tells_all(run, listed, tmp_path, tiny_folder):
    csv = 'prompt,name,seed,steps,lufs,trim\n"a dog, barking",bark,7,2,-20,yes\nbell,,,,,\n'
    code, out, err = run(listed(csv), "out", "--seed", "40", "--format", "flac")
    assert (code, err, out.splitlines()[-1]) == (0, "", "out  2 made, 0 were there")
    first, second = lines(tmp_path / "out")
    assert (
        set(files(tmp_path / "out"))
        == {"bark.flac", "bell.flac"}
        == {first["name"], second["name"]}
    )
    assert [(line["row"], line["seed"]) for line in (first, second)] == [(1, 7), (2, 41)]
    tags = info(tmp_path / "out" / "bark.flac")["tags"]
    assert (tags["prompt"], tags["steps"], tags["lufs"], tags["trim"]) == (
        "a dog, barking",
        "2",
        "-20.0",
        "True",
    )
    assert (
        first["asked"]["lufs"] == -20.0
        and second["asked"]["steps"] == 1
        and second["asked"]["model"] == str(tiny_folder)
    )
    assert (
        first["sha256"] == hashlib.sha256((tmp_path / "out" / "bark.flac").read_bytes()).hexdigest()
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "a dog | bark\n\nbell\nbell\n"),
        (
            "a.jsonl",
            '{"prompt": "a dog", "name": "bark"}\n\n{"prompt": "bell", "seed": null}\n{"prompt": "bell"}\n',
        ),
        ("a.csv", "\ufeffprompt, name\na dog, bark\nbell,\n\nbell\n"),
    ],
)
def test_every_kind_of_list_says_the_same(run, listed, tmp_path, name, text):
    code, out, err = run(listed(text, name), "out/", "--seed", "3", "--json")
    assert (code, err) == (0, "")
    told = [json.loads(line) for line in out.splitlines()]
    assert [(line["path"], line["prompt"], line["seed"]) for line in told] == [
        ("out/bark.wav", "a dog", 3),
        ("out/bell.wav", "bell", 4),
        ("out/bell_2.wav", "bell", 5),
    ]


def test_names_are_those_of_the_rows(run, listed, tmp_path):
    run(listed("prompt,name\nx,a.wav\nx,A\nx,a_2\nx,../a\n"), "out", "--quiet")
    assert [line["name"] for line in lines(tmp_path / "out")] == [
        "a.wav",
        "A_2.wav",
        "a_2_2.wav",
        "a_3.wav",
    ]


def test_a_second_run_does_nothing_and_a_changed_row_is_made_anew(run, listed, tmp_path):
    run(listed("prompt,name\na dog,one\nbell,two\n"), "out")
    seeds, before = [line["seed"] for line in lines(tmp_path / "out")], files(tmp_path / "out")
    assert seeds[1] == seeds[0] + 1
    assert run("list.csv", "out")[1] == "out  0 made, 2 were there\n"
    run(listed("prompt,name\na dog,one\nrain,two\nbell,three\n"), "out")
    after = lines(tmp_path / "out")
    assert [(line["name"], line["seed"] - seeds[0]) for line in after[2:]] == [
        ("two.wav", 1),
        ("three.wav", 2),
    ]
    assert (
        files(tmp_path / "out")["one.wav"] == before["one.wav"]
        and files(tmp_path / "out")["two.wav"] != before["two.wav"]
    )
    assert (
        run("list.csv", "out", "--guidance", "2", "--skip-existing")[1]
        == "out  0 made, 3 were there\n"
    )
    assert run("list.csv", "out", "--guidance", "2")[1].endswith("out  3 made, 0 were there\n")


def test_a_torn_line_and_half_a_file_are_swept(run, listed, tmp_path):
    run(listed("a dog\nbell\nrain\n", "a.txt"), "out", "--seed", "1")
    whole, manifest = files(tmp_path / "out"), tmp_path / "out" / "manifest.jsonl"
    text = manifest.read_bytes()
    (tmp_path / "out" / ".0123456789abcdef.part").write_bytes(b"half")
    for cut in (len(text) - 1, len(text) - 40, text.index(b"\n") + 5):
        manifest.write_bytes(text[:cut])
        assert run("a.txt", "out", "--seed", "1")[0] == 0
        assert files(tmp_path / "out") == whole and manifest.read_bytes() == text


def test_models_are_loaded_one_after_the_other(run, listed, tmp_path, tiny_folder, film_folder):
    csv = f"prompt,model\na dog,{tiny_folder}\nbell,{film_folder}\nrain,{tiny_folder}\n"
    assert run(listed(csv), "out", "--model", "mini")[0] == 0
    assert [line["row"] for line in lines(tmp_path / "out")] == [1, 3, 2]
    assert info(tmp_path / "out" / "bell.wav")["tags"]["model"] == str(film_folder)


def test_a_row_that_fails_ends_nothing(run, listed, tmp_path, monkeypatch):
    from latentaudio import pipeline

    def deaf(wave, check=pipeline.check_sound):
        if next(counter) == 1:
            raise GenerationError("the model produced silence; try another seed")
        check(wave)

    counter = iter(range(99))
    monkeypatch.setattr(pipeline, "check_sound", deaf)
    code, _, err = run(listed("a dog\nbell\nrain\n", "a.txt"), "out", "--seed", "1")
    assert code == 2 and set(files(tmp_path / "out")) == {"a_dog.wav", "rain.wav"}
    assert err.splitlines() == [
        "latentaudio: row 2: the model produced silence; try another seed",
        "latentaudio: 1 of 3 rows failed; the same command tries them again",
    ]
    assert [line.get("error", "")[:9] for line in lines(tmp_path / "out")] == ["", "the model", ""]
    assert run("a.txt", "out", "--seed", "1")[1].endswith("out  1 made, 2 were there\n")
    assert soundfile.info("out/bell.wav").frames == 4800


def test_pictures_are_drawn_too(run, listed, tmp_path):
    assert run(listed("a dog\n", "a.txt"), "out", "--plot")[0] == 0
    assert (tmp_path / "out" / "a_dog.wav.png").is_file()


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.csv", "", "a.csv holds no rows"),
        ("a.txt", " \n", "a.txt holds no rows"),
        ("a.csv", "prompt,name\n", "a.csv holds no rows"),
        ("a.md", "a dog", "a.md is no list that can be read; end its name in .csv, .jsonl or .txt"),
        (
            "a.csv",
            "prompt,stepps\ndog,3\n",
            "a.csv, row 1: there is no column 'stepps'; there are: name, prompt",
        ),
        ("a.csv", "prompt,count\ndog,3\n", "a.csv, row 1: there is no column 'count'"),
        ("a.csv", "prompt,prompt\ndog,3\n", "a.csv has two columns of one name"),
        (
            "a.csv",
            "prompt,steps\ndog,3\ndog,many\n",
            "a.csv, row 2: steps = 'many' must be a whole number",
        ),
        ("a.csv", "prompt,steps\ndog,3,4\n", "a.csv, row 1 has more cells than there are columns"),
        ("a.csv", 'prompt\n"dog\n', "a.csv is no table of commas"),
        ("a.csv", "name\ndog\n", "a.csv, row 1: prompt is missing"),
        ("a.csv", "prompt,eta\ndog,\ndog,1\n", "a.csv, row 2: eta = 1.0 means nothing to sampler"),
        ("a.csv", "prompt,model\ndog,no-such\n", "a.csv, row 1: no model is called 'no-such'"),
        ("a.csv", "prompt,seconds,fidelity\ndog,1,clean\n", "there is no column 'fidelity'"),
        ("a.jsonl", '{"prompt": "dog"}\n[1]\n', "a.jsonl, row 2 is no JSON object"),
        ("a.jsonl", '{"prompt": "dog"}\n{"prompt"\n', "a.jsonl, row 2 is no JSON object"),
        (
            "a.jsonl",
            '{"prompt": ["dog"]}\n',
            "a.jsonl, row 1 is no JSON object of texts and numbers",
        ),
        ("a.csv", "prompt,trim\ndog,maybe\n", "a.csv, row 1: trim = 'maybe' must be yes or no"),
        ("a.jsonl", '{"prompt": 3}\n', "a.jsonl, row 1: prompt = 3 must be text"),
        (
            "a.jsonl",
            '{"prompt": "", "edit": "vary"}\n',
            "a.jsonl, row 1: there is no column 'edit'",
        ),
        ("a.txt", "a dog | b | c\n", "a.txt, line 1 has two vertical bars"),
    ],
)
def test_wrong_rows_are_one_line_before_any_work(run, listed, tmp_path, name, text, line):
    code, out, err = run(listed(text, name), "out")
    assert (code, out, err.count("\n")) == (2, "", 1) and line in err
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_wrong_places_are_one_line(run, listed, tmp_path, monkeypatch):
    listed("a dog\n", "a.txt"), listed("prompt\ndog\n"), (tmp_path / "dir.csv").mkdir()
    (tmp_path / "latin.txt").write_bytes("K\xf6ln".encode("latin-1"))
    (tmp_path / "old").mkdir()
    listed('{"prompt": "a dog"}\n{"name": 3}\n', "old/manifest.jsonl")
    (tmp_path / "odd" / "manifest.jsonl").mkdir(parents=True)
    for tokens, line in (
        (("gone.csv", "out"), "cannot read gone.csv (No such file"),
        (("dir.csv", "out"), "cannot read dir.csv (Is a directory)"),
        (("latin.txt", "out"), "cannot read latin.txt (it is not UTF-8)"),
        (("a.txt", "list.csv"), "list.csv exists and is not a folder"),
        (("a.txt", "a.txt"), "a.txt exists and is not a folder"),
        (("a.txt", "a.txt/out"), "cannot make the folder a.txt/out"),
        (("a.txt", "old"), "old/manifest.jsonl is damaged; move it away"),
        (("a.txt", "odd"), "cannot write odd/manifest.jsonl"),
        (("a.txt", "out", "--format", "mp3", "--rate", "96000"), "a.txt, row 1: MP3 cannot hold"),
        (("a.txt", "out", "--fidelity", "mine"), "a.txt, row 1: no fidelity is called 'mine'"),
        (("a.txt", "out", "--count", "3"), "--count"),
        (("a.txt",), "--out requires an argument"),
    ):
        code, _, err = run(*tokens)
        assert code == 2 and err.count("\n") == 1 and line in err, (tokens, err)
    run("a.txt", "out", "--quiet")
    assert "own manifest" in run("out/manifest.jsonl", "out")[2]
    monkeypatch.setattr(
        "os.access", lambda *_: False
    )  # root may write anywhere, so the answer is faked
    assert "the folder out cannot be written to" in run("a.txt", "out")[2]


def test_kill_9_and_the_same_command_makes_the_same_files(tmp_path, capsys):
    """The mini itself: killed after its first file, and at a moment of its own choosing, against a run that nobody killed."""
    rows = "prompt,name\na dog barking,dog\nrain on a roof,rain\na church bell,bell\n"
    (tmp_path / "list.csv").write_text(rows)
    how = ["--seconds", "0.5", "--steps", "2", "--seed", "11", "--device", "cpu", "--quiet"]
    out = tmp_path / "killed"
    command = [
        sys.executable,
        "-m",
        "latentaudio.cli.main",
        "batch",
        str(tmp_path / "list.csv"),
        str(out),
        *how,
    ]
    with subprocess.Popen(command) as process:
        while not (out / "dog.wav").exists():
            assert process.poll() is None
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert not (out / "bell.wav").exists()
    for folder in (out, tmp_path / "whole"):
        assert main(["batch", str(tmp_path / "list.csv"), str(folder), *how]) == 0, (
            capsys.readouterr().err
        )
    assert files(out) == files(tmp_path / "whole") and len(files(out)) == 3
    assert {line["name"]: line for line in lines(out)} == {
        line["name"]: line for line in lines(tmp_path / "whole")
    }


def test_two_at_once_do_not_write_over_each_other(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    path = tmp_path / "manifest.jsonl"
    first = Manifest(path)
    with first.alone():
        with pytest.raises(UsageError, match="another batch is at work"), Manifest(path).alone():
            pass
        late = Manifest(path)
        first.add({"name": "a.wav", "first": 3})
    with pytest.raises(UsageError, match="just now"), late.alone():
        pass
    with Manifest(path).alone():  # and afterwards it is free
        assert fcntl is not None


def test_candidates_of_neighbours_have_seeds_of_their_own(tmp_path, tiny_folder):
    rows = [{"prompt": "a dog"}, {"prompt": "a dog", "candidates": "1"}, {"prompt": "a dog"}]
    way = {"device": "cpu", "precision": "fp32", "fidelity": "clean", "like": None}
    flags = {"model": str(tiny_folder), "candidates": 3}
    assert [
        row.request.seed for row in planned(tmp_path / "x.csv", rows, flags, 10, ".wav", way)
    ] == [10, 13, 14]
