"""The blind listening test: one loudness, hidden systems, answers on the disk after every click."""

import http.client
import io
import json
import os
import re
import signal
import threading

import numpy as np
import pytest
import soundfile

from latentaudio.audio.io import write
from latentaudio.audio.loudness import loudness
from latentaudio.cli.main import main
from latentaudio.errors import DataError, UsageError
from latentaudio.evaluate.listening import answers as answers_module
from latentaudio.evaluate.listening.answers import AnswerStore, read_answers
from latentaudio.evaluate.listening.plan import plan_test
from latentaudio.evaluate.listening.server import ListeningServer
from latentaudio.evaluate.listening.summary import summarize_answers, summarize_files

RATE = 16000
NAMES = ("dog", "rain", "bell")
CAPTIONS = {name: (f"the sound of a {name}",) for name in NAMES}


@pytest.fixture
def folders(tmp_path):
    """Two systems of three clips each, at unlike levels."""
    rng = np.random.default_rng(0)
    for system, level in (("first", 0.02), ("second", 0.3)):
        (tmp_path / system).mkdir()
        for name in NAMES:
            samples = (level * rng.standard_normal((1, RATE))).clip(-1, 1).astype(np.float32)
            write(tmp_path / system / f"{name}.wav", samples, RATE, {"model": f"secret-{system}"})
    return tmp_path


def plan_of(folders, **settings):
    return plan_test([folders / "first", folders / "second"], CAPTIONS, **settings)


@pytest.fixture
def server(folders):
    store = AnswerStore(plan_of(folders), folders / "answers.json")
    store.save()
    served = ListeningServer(store)
    thread = threading.Thread(target=served.serve_forever, args=(0.02,))
    thread.start()
    yield served
    served.shutdown()
    served.server_close()
    thread.join()


def request(server, method, path, body=None, **headers):
    """Status and body of one request."""
    connection = http.client.HTTPConnection(*server.server_address, timeout=10)
    data = None if body is None else json.dumps(body)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None:
        headers.setdefault("Content-Type", "application/json")
    connection.request(method, path, data, headers)
    reply = connection.getresponse()
    content = reply.read()
    connection.close()
    return reply.status, content


def answer(server, **changes):
    fields = {"listener": "ann", "number": 0, "question": "ovl", "rating": 4, **changes}
    return request(server, "POST", "/answers", fields)


def test_every_click_is_on_the_disk_before_the_reply(server, folders):
    for count, (number, question) in enumerate([(0, "ovl"), (0, "rel"), (3, "ovl")], 1):
        assert answer(server, number=number, question=question)[0] == 200
        stored = read_answers(folders / "answers.json")
        assert len(stored.answers) == count
        assert stored.answers[-1].clip == server.store.plan.trials[number].clip
    assert answer(server, rating=2)[0] == 200  # a later click replaces an earlier one
    stored = read_answers(folders / "answers.json")
    assert [each.rating for each in stored.answers] == [2, 4, 4]
    _, body = request(server, "GET", "/trials?listener=ann")
    by_number = {each["number"]: each["ratings"] for each in json.loads(body)["trials"]}
    assert by_number[0] == {"ovl": 2, "rel": 4} and by_number[3] == {"ovl": 4}
    assert by_number[1] == {}


def test_all_clips_are_equally_loud_and_tell_no_system(server):
    _, page = request(server, "GET", "/")
    status, trials = request(server, "GET", "/trials?listener=ann")
    assert status == 200
    for number in range(6):
        status, sound = request(server, "GET", f"/clips/{number}")
        assert status == 200
        samples, rate = soundfile.read(io.BytesIO(sound), dtype="float32", always_2d=True)
        assert loudness(samples.T, rate) == pytest.approx(server.store.plan.lufs, abs=0.1)
        assert np.abs(samples).max() < 0.9
        for word in (b"secret", b"first", b"second"):
            assert word not in sound
    for word in ("secret", "system", *server.store.plan.systems):
        assert word not in trials.decode()
    addresses = re.findall(
        r"(?:src|href)\s*=\s*[\"']([^\"']+)|fetch\([\"'](http[^\"']+)", page.decode()
    )
    assert [each for pair in addresses for each in pair if each] == ["data:,"]  # self-contained


def test_listeners_get_unlike_orders_of_all_trials(folders):
    plan = plan_of(folders)
    orders = [plan.order_for(name) for name in ("ann", "bob", "cid")]
    assert all(sorted(order) == list(range(6)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert plan_of(folders).order_for("ann") == orders[0]  # the same at the next start
    assert {trial.system for trial in plan.trials[:3]} != {"first"}  # seed 0: mixed


def test_requests_from_elsewhere_and_damaged_ones_change_nothing(server, folders):
    before = (folders / "answers.json").read_bytes()
    assert request(server, "GET", "/", Host="evil.example")[0] == 403
    good = {"listener": "ann", "number": 0, "question": "ovl", "rating": 4}
    assert request(server, "POST", "/answers", good, Host="evil.example:80")[0] == 403
    assert request(server, "POST", "/answers", good, Content_Type="text/plain")[0] == 400
    assert request(server, "POST", "/elsewhere", good)[0] == 400
    for changes in (
        {"rating": 6}, {"rating": 0}, {"rating": "4"}, {"rating": True}, {"number": 6},
        {"number": -1}, {"question": "x"}, {"listener": ""}, {"listener": "x" * 65}, {"more": 1},
        {"listener": "x" * 5000},
    ):  # fmt: skip
        status, body = answer(server, **changes)
        assert status == 400 and json.loads(body)["error"], changes
    for path in ("/clips/6", "/clips/-1", "/clips/x", "/clips/" + "9" * 5000, "/../secret"):
        assert request(server, "GET", path)[0] in (404, 414), path
    assert request(server, "GET", "/trials?listener=")[0] == 400
    assert (folders / "answers.json").read_bytes() == before


def test_an_answer_that_cannot_be_stored_is_an_error_and_does_not_count(server, monkeypatch):
    assert answer(server)[0] == 200

    def fail(path, create):
        raise DataError("cannot write answers.json (No space left on device)")

    monkeypatch.setattr(answers_module, "atomic_write", fail)
    status, body = answer(server, rating=1)
    assert status == 500 and "No space left" in json.loads(body)["error"]
    assert server.store.ratings_of("ann") == {0: {"ovl": 4}}


def test_a_stopped_test_goes_on_and_another_test_is_refused(folders):
    path = folders / "answers.json"
    AnswerStore(plan_of(folders), path).put("ann", 2, "rel", 5)
    assert AnswerStore(plan_of(folders), path).ratings_of("ann") == {2: {"rel": 5}}
    with pytest.raises(UsageError, match="another test"):
        AnswerStore(plan_of(folders, scale=100), path)
    path.write_text("{}")
    with pytest.raises(DataError, match=re.escape(str(path))):
        AnswerStore(plan_of(folders), path)
    assert path.read_text() == "{}"


def test_means_intervals_and_paired_tests_are_over_clips(folders):
    store = AnswerStore(plan_of(folders), folders / "answers.json")
    numbers = {(t.system, t.clip): number for number, t in enumerate(store.plan.trials)}
    for listener, shift in (("ann", 0), ("bob", 1)):
        for rank, name in enumerate(NAMES):
            store.put(listener, numbers["first", name], "ovl", 1 + rank + shift)
            store.put(listener, numbers["second", name], "ovl", 2 + rank + shift)
    summary = summarize_answers(store.stored)
    first, second = summary.ratings
    # clip means 1.5, 2.5, 3.5: standard error 1 / sqrt(3), Student's t of 2 degrees 4.3027
    assert (first.mean, second.mean) == (2.5, 3.5)
    assert first.interval[1] - first.mean == pytest.approx(4.302653 / np.sqrt(3), rel=1e-6)
    assert (first.n, first.num_ratings, first.num_listeners) == (3, 6, 2)
    [pair] = summary.differences
    assert (pair.difference, pair.p_value) == (1.0, 0.25)  # 2 of 2^3 signs
    assert summarize_files([folders / "answers.json"]).ratings == summary.ratings
    both = summarize_files([folders / "answers.json"] * 2)  # of two machines
    assert both.ratings[0].num_listeners == 4


def test_what_makes_a_test_doubtful_is_stated(folders):
    write(folders / "first" / "extra.wav", np.full((1, RATE), 0.1, np.float32), RATE)
    for system in ("first", "second"):
        write(folders / system / "none.wav", np.zeros((1, RATE), np.float32), RATE)
    plan = plan_test([folders / "first", folders / "second"], {})
    assert plan.questions == ("ovl",)
    text = " ".join(plan.warnings)
    assert "1 clips are left out" in text and "2 clips are silent" in text
    assert "8 clips have no text" in text


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "name the folders"),
        (["first", "first"], "files in common"),
        (["first", "first/.."], "files in common"),
        (["first", "other"], "no clips of the same name"),
        (["first", "missing"], "no folder"),
        (["first", "--scale", "7"], "--scale 7"),
        (["first", "--lufs", "3"], "--lufs 3"),
        (["first", "--num-clips", "0"], "--num-clips 0"),
        (["first", "--port", "70000"], "--port 70000"),
        (["first", "--answers", "x.txt"], "--answers x.txt"),
        (["first", "--answers", "nowhere/x.json"], "no folder nowhere"),
        (["first", "--summarize", "x.json"], "leave the folders out"),
        (["--summarize", "x.json"], "cannot read x.json"),
    ],
)
def test_a_wrong_command_is_one_line(words, reason, folders, capsys, monkeypatch):
    monkeypatch.chdir(folders)
    (folders / "other").mkdir()
    write(folders / "other" / "cat.wav", np.full((1, RATE), 0.1, np.float32), RATE)
    assert main(["listen", *words]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert reason in lines[-1] and "Traceback" not in lines[-1]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_the_command_serves_until_a_signal_and_prints_the_means(
    number, code, folders, capsys, monkeypatch
):
    monkeypatch.chdir(folders)
    statuses = []

    def stop_after_an_answer(server):
        statuses.append(answer(server, number=1, rating=5)[0])
        os.kill(os.getpid(), number)

    def begin(self, store, port=0):
        start(self, store, port)
        threading.Thread(target=stop_after_an_answer, args=(self,)).start()

    start = ListeningServer.__init__
    monkeypatch.setattr(ListeningServer, "__init__", begin)
    assert main(["listen", "first", "second", "--json"]) == code
    assert statuses == [200]
    [rating] = json.loads(capsys.readouterr().out)["ratings"]
    assert (rating["question"], rating["mean"], rating["n"]) == ("ovl", 5.0, 1)
