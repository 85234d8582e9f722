"""`latentaudio batch`: one file and one line per row; a stopped batch resumes bit for bit."""

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
from latentaudio.cli.batch_list import make_row_requests, read_rows, resolve_rows
from latentaudio.cli.flags import RuntimeFlags
from latentaudio.cli.main import main
from latentaudio.config.tags import TAGS_OF_0_1
from latentaudio.errors import GenerationError, UsageError
from latentaudio.generation import engine

pytestmark = pytest.mark.cli

QUICK = ("--steps", "1", "--duration", "0.3", "--device", "cpu")


@pytest.fixture
def run(tiny_folder, tmp_path, monkeypatch, capsys, no_progress_lines):
    """Calls batch on the tiny model in an empty folder; returns code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*tokens):
        model = [] if "--model" in tokens else ["--model", str(tiny_folder)]
        return main(["batch", *tokens, *QUICK, *model]), *capsys.readouterr()

    return call


@pytest.fixture
def write_list(tmp_path):
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


def test_rows_win_over_flags_and_the_manifest_records_all(run, write_list, tmp_path, tiny_folder):
    csv = 'prompt,name,seed,steps,lufs,trim_silence\n"a dog, barking",bark,7,2,-20,yes\nbell,,,,,\n'
    code, out, err = run(write_list(csv), "out", "--seed", "40", "--format", "flac")
    assert (code, err, out.splitlines()[-1]) == (0, "", "out  2 generated, 0 skipped")
    first, second = lines(tmp_path / "out")
    assert (
        set(files(tmp_path / "out"))
        == {"bark.flac", "bell.flac"}
        == {first["name"], second["name"]}
    )
    assert [(line["row"], line["seed"]) for line in (first, second)] == [(1, 7), (2, 41)]
    tags = info(tmp_path / "out" / "bark.flac")["tags"]
    assert (tags["prompt"], tags["steps"], tags["lufs"], tags["trim_silence"]) == (
        "a dog, barking",
        "2",
        "-20.0",
        "True",
    )
    assert (
        first["request"]["lufs"] == -20.0
        and second["request"]["steps"] == 1
        and second["request"]["model"] == str(tiny_folder)
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
            '{"prompt": "a dog", "name": "bark"}\n\n'
            '{"prompt": "bell", "seed": null}\n{"prompt": "bell"}\n',
        ),
        ("a.csv", "\ufeffprompt, name\na dog, bark\nbell,\n\nbell\n"),
    ],
)
def test_every_kind_of_list_gives_the_same_clips(run, write_list, tmp_path, name, text):
    code, out, err = run(write_list(text, name), "out/", "--seed", "3", "--json")
    assert (code, err) == (0, "")
    records = [json.loads(line) for line in out.splitlines()]
    assert [(line["path"], line["prompt"], line["seed"]) for line in records] == [
        ("out/bark.wav", "a dog", 3),
        ("out/bell.wav", "bell", 4),
        ("out/bell_2.wav", "bell", 5),
    ]


def test_files_are_named_by_the_rows_and_numbered(run, write_list, tmp_path):
    run(write_list("prompt,name\nx,a.wav\nx,A\nx,a_2\nx,../a\n"), "out", "--quiet")
    assert [line["name"] for line in lines(tmp_path / "out")] == [
        "a.wav",
        "A_2.wav",
        "a_2_2.wav",
        "a_3.wav",
    ]


def test_a_second_run_does_nothing_and_a_changed_row_is_generated_again(run, write_list, tmp_path):
    run(write_list("prompt,name\na dog,one\nbell,two\n"), "out")
    seeds, before = [line["seed"] for line in lines(tmp_path / "out")], files(tmp_path / "out")
    assert seeds[1] == seeds[0] + 1
    assert run("list.csv", "out")[1] == "out  0 generated, 2 skipped\n"
    run(write_list("prompt,name\na dog,one\nrain,two\nbell,three\n"), "out")
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
        run("list.csv", "out", "--guidance-scale", "2", "--skip-existing")[1]
        == "out  0 generated, 3 skipped\n"
    )
    assert run("list.csv", "out", "--guidance-scale", "2")[1].endswith(
        "out  3 generated, 0 skipped\n"
    )


def test_a_cut_line_and_a_partial_file_are_removed(run, write_list, tmp_path):
    run(write_list("a dog\nbell\nrain\n", "a.txt"), "out", "--seed", "1")
    complete = files(tmp_path / "out")
    manifest = tmp_path / "out" / "manifest.jsonl"
    text = manifest.read_bytes()
    (tmp_path / "out" / ".0123456789abcdef.part").write_bytes(b"half")
    for cut in (len(text) - 1, len(text) - 40, text.index(b"\n") + 5):
        manifest.write_bytes(text[:cut])
        assert run("a.txt", "out", "--seed", "1")[0] == 0
        assert files(tmp_path / "out") == complete and manifest.read_bytes() == text


def test_models_are_loaded_one_after_the_other(run, write_list, tmp_path, tiny_folder, film_folder):
    csv = f"prompt,model\na dog,{tiny_folder}\nbell,{film_folder}\nrain,{tiny_folder}\n"
    assert run(write_list(csv), "out", "--model", "mini")[0] == 0
    assert [line["row"] for line in lines(tmp_path / "out")] == [1, 3, 2]
    assert info(tmp_path / "out" / "bell.wav")["tags"]["model"] == str(film_folder)


def test_a_row_that_fails_does_not_stop_the_others(run, write_list, tmp_path, monkeypatch):
    def reject_second(samples, *args, check=engine.check_audible):
        if next(counter) == 1:
            raise GenerationError("the model generated silence; try another seed")
        check(samples, *args)

    counter = iter(range(99))
    monkeypatch.setattr(engine, "check_audible", reject_second)
    code, _, err = run(write_list("a dog\nbell\nrain\n", "a.txt"), "out", "--seed", "1")
    assert code == 2 and set(files(tmp_path / "out")) == {"a_dog.wav", "rain.wav"}
    assert err.splitlines() == [
        "latentaudio: row 2: the model generated silence; try another seed",
        "latentaudio: 1 of 3 rows failed; the same command tries them again",
    ]
    assert [line.get("error", "")[:9] for line in lines(tmp_path / "out")] == ["", "the model", ""]
    assert run("a.txt", "out", "--seed", "1")[1].endswith("out  1 generated, 2 skipped\n")
    assert soundfile.info("out/bell.wav").frames == 4800


def test_pictures_are_drawn_too(run, write_list, tmp_path):
    assert run(write_list("a dog\n", "a.txt"), "out", "--plot")[0] == 0
    assert (tmp_path / "out" / "a_dog.wav.png").is_file()


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.csv", "", "a.csv has no rows"),
        ("a.txt", " \n", "a.txt has no rows"),
        ("a.csv", "prompt,name\n", "a.csv has no rows"),
        ("a.md", "a dog", "a.md is not a list; end its name in .csv, .jsonl or .txt"),
        (
            "a.csv",
            "prompt,stepps\ndog,3\n",
            "a.csv, row 1: there is no column 'stepps'; columns are: name, prompt",
        ),
        (
            "a.csv",
            "prompt,num_waveforms\ndog,3\n",
            "a.csv, row 1: there is no column 'num_waveforms'",
        ),
        ("a.csv", "prompt,prompt\ndog,3\n", "a.csv has two columns with the same name"),
        (
            "a.csv",
            "prompt,steps\ndog,3\ndog,many\n",
            "a.csv, row 2: steps = 'many' must be a whole number",
        ),
        ("a.csv", "prompt,steps\ndog,3,4\n", "a.csv, row 1 has more cells than there are columns"),
        ("a.csv", 'prompt\n"dog\n', "a.csv is not valid CSV"),
        ("a.csv", "name\ndog\n", "a.csv, row 1: prompt is missing"),
        (
            "a.csv",
            "prompt,eta\ndog,\ndog,1\n",
            "a.csv, row 2: eta = 1.0 has no effect with sampler",
        ),
        ("a.csv", "prompt,model\ndog,no-such\n", "a.csv, row 1: 'no-such' is not a model"),
        ("a.csv", "prompt,duration,reference\ndog,1,clean\n", "there is no column 'reference'"),
        ("a.jsonl", '{"prompt": "dog"}\n[1]\n', "a.jsonl, row 2 is not a JSON object"),
        ("a.jsonl", '{"prompt": "dog"}\n{"prompt"\n', "a.jsonl, row 2 is not a JSON object"),
        (
            "a.jsonl",
            '{"prompt": ["dog"]}\n',
            "a.jsonl, row 1 is not a JSON object of texts and numbers",
        ),
        (
            "a.csv",
            "prompt,trim_silence\ndog,maybe\n",
            "a.csv, row 1: trim_silence = 'maybe' must be yes or no",
        ),
        ("a.jsonl", '{"prompt": 3}\n', "a.jsonl, row 1: prompt = 3 must be text"),
        (
            "a.jsonl",
            '{"prompt": "", "edit": "vary"}\n',
            "a.jsonl, row 1: there is no column 'edit'",
        ),
        ("a.txt", "a dog | b | c\n", "a.txt, line 1 has two vertical bars"),
    ],
)
def test_wrong_rows_are_one_line_before_any_work(run, write_list, tmp_path, name, text, line):
    code, out, err = run(write_list(text, name), "out")
    assert (code, out, err.count("\n")) == (2, "", 1) and line in err
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_wrong_paths_are_one_line(run, write_list, tmp_path, monkeypatch):
    write_list("a dog\n", "a.txt")
    write_list("prompt\ndog\n")
    (tmp_path / "dir.csv").mkdir()
    (tmp_path / "latin.txt").write_bytes("K\xf6ln".encode("latin-1"))
    (tmp_path / "old").mkdir()
    write_list('{"prompt": "a dog"}\n{"name": 3}\n', "old/manifest.jsonl")
    (tmp_path / "odd" / "manifest.jsonl").mkdir(parents=True)
    for tokens, line in (
        (("gone.csv", "out"), "cannot read gone.csv (No such file"),
        (("dir.csv", "out"), "cannot read dir.csv (Is a directory)"),
        (("latin.txt", "out"), "cannot read latin.txt (it is not UTF-8)"),
        (("a.txt", "list.csv"), "list.csv exists and is not a folder"),
        (("a.txt", "a.txt"), "a.txt exists and is not a folder"),
        (("a.txt", "a.txt/out"), "cannot create the folder a.txt/out"),
        (("a.txt", "old"), "old/manifest.jsonl is damaged; move it away"),
        (("a.txt", "odd"), "cannot write odd/manifest.jsonl"),
        (
            ("a.txt", "out", "--format", "mp3", "--sample-rate", "96000"),
            "a.txt, row 1: MP3 cannot hold",
        ),
        (("a.txt", "out", "--reference", "mine"), "a.txt, row 1: no reference is called 'mine'"),
        (("a.txt", "out", "--num-waveforms", "3"), "--num-waveforms"),
        (("a.txt",), "--folder requires an argument"),
    ):
        code, _, err = run(*tokens)
        assert code == 2 and err.count("\n") == 1 and line in err, (tokens, err)
    run("a.txt", "out", "--quiet")
    assert "is the manifest of the folder" in run("out/manifest.jsonl", "out")[2]
    monkeypatch.setattr(
        "os.access", lambda *_: False
    )  # root may write anywhere, so the answer is faked
    assert "the folder out cannot be written to" in run("a.txt", "out")[2]


@pytest.mark.slow
def test_after_kill_9_the_same_command_writes_the_same_files(tmp_path, capsys):
    """The bundled model: a run that is killed after its first file, against one that is not."""
    rows = "prompt,name\na dog barking,dog\nrain on a roof,rain\na church bell,bell\n"
    (tmp_path / "list.csv").write_text(rows)
    flags = ["--duration", "0.5", "--steps", "2", "--seed", "11", "--device", "cpu", "--quiet"]
    out = tmp_path / "killed"
    command = [
        sys.executable,
        "-m",
        "latentaudio.cli.main",
        "batch",
        str(tmp_path / "list.csv"),
        str(out),
        *flags,
    ]
    with subprocess.Popen(command) as process:
        while not (out / "dog.wav").exists():
            assert process.poll() is None
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert not (out / "bell.wav").exists()
    for folder in (out, tmp_path / "uninterrupted"):
        assert main(["batch", str(tmp_path / "list.csv"), str(folder), *flags]) == 0, (
            capsys.readouterr().err
        )
    assert files(out) == files(tmp_path / "uninterrupted") and len(files(out)) == 3
    assert {line["name"]: line for line in lines(out)} == {
        line["name"]: line for line in lines(tmp_path / "uninterrupted")
    }


def test_two_batches_do_not_write_to_one_folder(tmp_path):
    fcntl = pytest.importorskip("fcntl")
    path = tmp_path / "manifest.jsonl"
    first = Manifest(path)
    with first.lock():
        with pytest.raises(UsageError, match="another batch is running"), Manifest(path).lock():
            pass
        late = Manifest(path)
        first.add({"name": "a.wav", "first_seed": 3})
    with pytest.raises(UsageError, match="has just written"), late.lock():
        pass
    with Manifest(path).lock():  # and afterwards it is free
        assert fcntl is not None


def test_candidates_of_neighboring_rows_have_different_seeds(tmp_path, tiny_folder):
    rows = [{"prompt": "a dog"}, {"prompt": "a dog", "candidates": "1"}, {"prompt": "a dog"}]
    options = {"model": str(tiny_folder), "candidates": "3"}
    file = tmp_path / "x.csv"
    requests = make_row_requests(file, rows, options, ".wav")
    runtime = RuntimeFlags(device="cpu", precision="fp32")
    resolved = resolve_rows(file, rows, requests, 10, ".wav", runtime)
    assert [row.request.options.seed for row in resolved] == [10, 13, 14]


def test_a_batch_of_version_0_1_is_resumed(run, write_list, tmp_path):
    write_list("a dog\nbell\n", "a.txt")
    run("a.txt", "out", "--seed", "40")
    manifest = tmp_path / "out" / "manifest.jsonl"
    old_names = {new: old for old, new in {**TAGS_OF_0_1, "like": "architecture"}.items()}
    old_lines = []
    for record in lines(tmp_path / "out"):
        request = record.pop("request")
        record["first"] = record.pop("first_seed")
        record["asked"] = {old_names.get(name, name): value for name, value in request.items()}
        assert record["asked"]["seconds"] == 0.3 and record["asked"]["cues"] == []
        old_lines.append(json.dumps(record))
    manifest.write_text("\n".join(old_lines) + "\n")
    assert run("a.txt", "out")[1] == "out  0 generated, 2 skipped\n"
    (tmp_path / "out" / "bell.wav").unlink()
    assert run("a.txt", "out")[1].endswith("out  1 generated, 1 skipped\n")
    assert lines(tmp_path / "out")[-1]["seed"] == 41


@pytest.mark.parametrize(
    "text",
    [
        "prompt,name,seed\nA dog,bark,3\nBell,,\n",
        "\ufeffprompt;name;seed\r\nA dog;bark;3\r\nBell;;\r\n",
        "sep=;\r\nprompt;name;seed\r\nA dog;bark;3\r\nBell;;\r\n",
        "prompt\tname\tseed\nA dog\tbark\t3\nBell\t\t\n",
        "prompt,name,seed,,\nA dog,bark,3,,\n,,,,\nBell,,,,\n,,,,\n",
        ",,,\nprompt,,name,seed\nA dog,,bark,3\n\nBell\n",
        'prompt;name;seed\n"A dog";bark;3\n;;\nBell;;;;;\n',
    ],
)
def test_a_table_of_excel_is_read(tmp_path, text):
    file = tmp_path / "list.csv"
    file.write_text(text, encoding="utf-8", newline="")
    assert read_rows(file) == [{"prompt": "A dog", "name": "bark", "seed": "3"}, {"prompt": "Bell"}]


def test_a_cell_without_a_column_is_an_error(tmp_path):
    file = tmp_path / "list.csv"
    file.write_text("prompt,,name\na dog,5,bark\n")
    with pytest.raises(UsageError, match="row 1 has '5' in a column without a name"):
        read_rows(file)


@pytest.mark.parametrize("change", ["edited", "emptied", "a folder", "foreign"])
def test_a_file_that_the_batch_has_not_made_stays(run, write_list, tmp_path, change):
    name = write_list("prompt,name\ndog,bark\n")
    file = tmp_path / "out" / "bark.wav"
    if change == "foreign":
        file.parent.mkdir()
        file.write_bytes(b"mine")
    else:
        assert run(name, "out", "--seed", "1")[0] == 0
        made = file.read_bytes()
        if change == "a folder":
            file.unlink()
            file.mkdir()
        else:
            file.write_bytes(made[:-1] + b"?" if change == "edited" else b"")
    code, _, error = run(name, "out", "--seed", "1")
    assert code == 2
    assert "bark.wav" in error
    assert "--overwrite" in error
    if change == "a folder":
        return
    assert run(name, "out", "--seed", "1", "--overwrite")[0] == 0
    assert info(file)["tags"]["prompt"] == "dog"
    if change != "foreign":
        assert file.read_bytes() == made
    assert run(name, "out", "--seed", "1")[1].endswith("0 generated, 1 skipped\n")


def test_what_is_kept_for_later_starts_is_no_part_of_a_request(run, write_list):
    write_list("a dog\nbell\n", "a.txt")
    run("a.txt", "out", "--seed", "40", "--no-cache")
    assert run("a.txt", "out")[1] == "out  0 generated, 2 skipped\n"
