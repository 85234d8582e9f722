"""`latentaudio.client` against the real application over the tiny model, through a socket."""

import httpx
import numpy as np
import pytest
from live_server import MAX_STEPS, application, running

from latentaudio.audio.encoding import encode
from latentaudio.audio.io import info, read
from latentaudio.client import Client, ServerError, Sound
from latentaudio.errors import DataError
from latentaudio.serve.schemas import Job, StepEvent

QUICK = {"duration": 1, "steps": 2, "seed": 3}


@pytest.fixture(scope="module")
def address(tiny_folder, tmp_path_factory):
    with running(application(tiny_folder, tmp_path_factory.mktemp("store"))) as url:
        yield url


@pytest.fixture
def client(address):
    with Client(address) as connected:
        yield connected


def served(tags):
    """The tags of a clip in a file of the server, which names its models and tells no path."""
    return {**tags, "model": "tiny"}


def test_a_sound_is_the_file_that_python_saves(client, tiny, tmp_path):
    [sound] = client.generate("a bell", **QUICK)
    assert sound.seed == 3
    [clip] = tiny.generate("a bell", **QUICK)
    sound.save(tmp_path / "bell.wav")
    assert sound.data == encode(clip.samples, clip.sample_rate, ".wav", served(clip.tags))
    assert info(tmp_path / "bell.wav")["tags"]["made"] == "AI generated"


def test_another_format_of_the_same_sound(client, tiny, tmp_path):
    job = client.wait(client.submit({"prompt": "a bell", **QUICK, "num_waveforms": 2}))
    clips = tiny.generate("a bell", **QUICK, num_waveforms=2)
    sounds = client.sounds(job, format="flac")
    for sound, clip in zip(sounds, clips, strict=True):
        assert sound.data == encode(clip.samples, clip.sample_rate, ".flac", served(clip.tags))


def test_a_stream_is_a_wav_file_with_tags(client, tmp_path):
    chunks = list(client.stream("rain", duration=12, steps=2, seed=3))
    assert len(chunks) > 1
    (tmp_path / "stream.wav").write_bytes(b"".join(chunks))
    samples, rate = read(tmp_path / "stream.wav")
    assert samples.shape == (1, 12 * rate)
    assert info(tmp_path / "stream.wav")["tags"]["seed"] == "3"
    with pytest.raises(ServerError, match="candidates"):
        next(client.stream("rain", candidates=2))


@pytest.mark.parametrize("form", ["file", "bytes", "upload", "sound"])
def test_an_edit_takes_sounds_in_every_form(client, tmp_path, form):
    file = tmp_path / "tone.wav"
    tone = 0.3 * np.sin(np.arange(32000, dtype=np.float32) / 9)
    file.write_bytes(encode(tone, 16000, ".wav"))
    audio = {"file": lambda: file, "bytes": file.read_bytes, "upload": lambda: client.upload(file)}
    source = client.generate("a bell", **{**QUICK, "duration": 2})[0] if form == "sound" else None
    if source is not None:
        source.save(file)
    [edited] = client.edit(
        "inpaint", source or audio[form](), "a dog", time_ranges=[(1.0, 1.5)], steps=2, seed=1
    )
    edited.save(tmp_path / "edited.wav")
    before = read(file)[0]
    after = read(tmp_path / "edited.wav")[0]
    assert np.array_equal(before[:, :15000], after[:, :15000])
    assert not np.array_equal(before[:, 16000:24000], after[:, 16000:24000])


def test_the_seam_of_a_loop_belongs_to_the_edit(client):
    [source] = client.generate("a bell", **QUICK)
    [loop] = client.edit("loop", source, "a bell", loop_seam=0.4, steps=2, seed=1)
    assert "0.4" in str(loop.clip.options["edit"])


def test_events_count_the_steps_and_end_with_the_job(client):
    events = list(client.events(client.submit({"prompt": "events", **QUICK, "steps": 6})))
    assert isinstance(events[-1], Job)
    assert events[-1].status == "done"
    steps = [event.steps_done for event in events if isinstance(event, StepEvent)]
    assert steps == sorted(steps)
    assert all(event.steps_total == 6 for event in events if isinstance(event, StepEvent))


def test_a_canceled_job_ends_before_its_last_step(client):
    job = client.submit({"prompt": "long", "duration": 5, "steps": MAX_STEPS, "seed": 1})
    ended = client.cancel(job)
    assert ended.status == "cancelled"
    assert ended.steps_done < MAX_STEPS
    with pytest.raises(ServerError) as caught:
        client.wait(job)
    assert caught.value.code == "cancelled"
    assert client.get(job).status == "cancelled"


def test_models_limits_and_jobs(client):
    [model] = client.models()
    assert "inpaint" in model.verbs
    assert client.limits().max_steps == MAX_STEPS
    client.generate("listed", **QUICK)
    assert client.jobs(1)[0].status == "done"


def test_the_same_idempotency_key_gives_the_same_job(client):
    request = {"prompt": "once", **QUICK}
    first = client.submit(request, "key")
    assert client.submit(request, "key").id == first.id
    with pytest.raises(ServerError) as caught:
        client.submit({**request, "seed": 4}, "key")
    assert (caught.value.status, caught.value.code) == (409, "idempotency_conflict")


def test_refusals_are_words_with_a_code_and_a_field(client):
    with pytest.raises(ServerError, match="duration") as caught:
        client.generate("x", duration=0.001)
    assert (caught.value.status, caught.value.param) == (422, "duration")
    with pytest.raises(ServerError) as caught:
        client.get("nothing")
    assert caught.value.code == "not_found"
    with pytest.raises(ServerError):
        list(client.events("nothing"))


def test_a_missing_file_and_a_missing_server(client, tmp_path):
    with pytest.raises(DataError, match="cannot read"):
        client.upload(tmp_path / "none.wav")
    with Client("http://127.0.0.1:9", timeout_s=2) as nobody:
        with pytest.raises(ServerError, match="is latentaudio serve running"):
            nobody.models()
        with pytest.raises(ServerError, match="is latentaudio serve running"):
            list(nobody.events("x"))


def test_a_key_is_sent(tiny_folder, tmp_path):
    with running(application(tiny_folder, tmp_path, ["secret"])) as url:
        with Client(url) as stranger, pytest.raises(ServerError) as caught:
            stranger.models()
        assert caught.value.status == 401
        with Client(url, api_key="secret") as friend:
            assert friend.models()


def test_other_answers_than_ours_become_errors_too():
    def answer(_request):
        return httpx.Response(503, text="<html>busy", headers={"retry-after": "7"})

    with Client(transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(ServerError, match="status 503") as caught:
            client.models()
        assert caught.value.retry_after_s == 7


def test_a_sound_is_written_completely_or_not_at_all(tmp_path):
    sound = Sound(b"data", None, "job/0")
    with pytest.raises(DataError, match="no folder"):
        sound.save(tmp_path / "none" / "a.wav")
    assert sound.save(tmp_path / "a.wav").read_bytes() == b"data"
