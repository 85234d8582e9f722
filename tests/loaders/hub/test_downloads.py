"""Downloads from a small hub server on this machine: files, requests, cache and transfers."""

import hashlib
import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import huggingface_hub
import huggingface_hub.constants
import pytest
from hub_server import COMMIT, DEFAULT_FILES, FILES, WEIGHTS, contents_of, error_line, serving, tree

from latentaudio.cli.download import download
from latentaudio.errors import DataError, WeightsError
from latentaudio.loaders.hub import check_snapshot, default_files, fetch, fetch_file
from latentaudio.loaders.hub_download import verify


def test_only_default_files_are_downloaded_and_only_once(server, repo_cache):
    reports = []
    folder = fetch("o/r", progress=lambda completed, total: reports.append((completed, total)))
    assert folder == repo_cache / "snapshots" / COMMIT
    assert tree(folder) == contents_of(*DEFAULT_FILES)
    # an empty file needs no request
    assert server.files() == [(name, None) for name in DEFAULT_FILES if FILES[name]]
    total = sum(len(FILES[name]) for name in DEFAULT_FILES)
    assert reports[0] == (0, total) and reports[-1] == (total, total) and reports == sorted(reports)
    server.log.clear()
    assert fetch("o/r") == folder
    assert [request.path for request in server.log] == ["/api/models/o/r/revision/main?blobs=true"]
    assert not list(repo_cache.rglob("*.part")) and not list(repo_cache.rglob("*.lock"))


def test_huggingface_hub_reads_the_cache_as_its_own(server, repo_cache):
    folder = fetch("o/r")
    path = huggingface_hub.try_to_load_from_cache(
        "o/r", "unet/model.safetensors", cache_dir=repo_cache.parent
    )
    assert path == str(folder / "unet/model.safetensors")
    [repo] = huggingface_hub.scan_cache_dir(repo_cache.parent).repos
    assert (repo.repo_id, repo.nb_files, list(repo.refs)) == ("o/r", len(DEFAULT_FILES), ["main"])
    assert not huggingface_hub.scan_cache_dir(repo_cache.parent).warnings
    blobs = {path.name for path in (repo_cache / "blobs").iterdir()}
    assert hashlib.sha256(WEIGHTS).hexdigest() in blobs and all(
        (folder / name).is_symlink() for name in DEFAULT_FILES
    )


def test_a_cached_file_needs_no_request(server):
    path = fetch_file("o/r", "big.ckpt")
    assert path.read_bytes() == FILES["big.ckpt"] and server.files() == [("big.ckpt", None)]
    server.log.clear()
    assert fetch_file("o/r", "big.ckpt") == path and not server.log


def test_patterns_and_revision_select_files(server, repo_cache, tmp_path):
    folder = fetch("o/r", ["*.md", "nothing", "vae/*"], revision=COMMIT)
    assert tree(folder) == contents_of("README.md", "vae/model.bin")
    assert not (repo_cache / "refs").exists()


def test_files_are_downloaded_into_a_folder(server, tmp_path):
    to = tmp_path / "a" / "folder"
    assert fetch("o/r", to=to) == to
    assert tree(to) == contents_of(*DEFAULT_FILES) and [
        path.name for path in to.parent.iterdir()
    ] == ["folder"]
    assert not (tmp_path / "cache").exists()
    (to / "unet/model.safetensors").write_bytes(b"x" + WEIGHTS[1:])
    (to / "model_index.json").write_bytes(FILES["model_index.json"].replace(b"U", b"V"))
    (to / "mine.txt").write_text("stays")
    server.log.clear()
    fetch("o/r", to=to)
    assert server.files() == [("model_index.json", None), ("unet/model.safetensors", None)]
    assert tree(to) == {**contents_of(*DEFAULT_FILES), "mine.txt": b"stays"}


def test_a_folder_is_filled_from_the_cache(server, tmp_path, monkeypatch):
    fetch("o/r")
    server.log.clear()
    fetch("o/r", to=tmp_path / "first")
    assert not server.files()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    server.log.clear()
    fetch("o/r", to=tmp_path / "second")
    assert not server.log and tree(tmp_path / "first") == tree(tmp_path / "second") == contents_of(
        *DEFAULT_FILES
    )
    link = fetch("o/r") / "model_index.json"
    link.resolve().write_bytes(FILES["model_index.json"].replace(b"U", b"V"))
    message = error_line(WeightsError, lambda: fetch("o/r", to=tmp_path / "third"))
    assert (
        message == f"{link} was damaged and is removed; download it again"
        and not (tmp_path / "third").exists()
    )


def test_a_file_as_target_folder_is_refused(server, tmp_path):
    (tmp_path / "file").write_text("mine")
    message = error_line(DataError, lambda: fetch("o/r", to=tmp_path / "file"))
    assert message == f"{tmp_path / 'file'} is a file; choose another folder"
    assert not server.files() and (tmp_path / "file").read_text() == "mine"


def test_an_interrupted_transfer_resumes_within_the_call(server):
    server.cut["big.ckpt"] = 1000
    logged_files = server.files

    def repair():
        del server.cut["big.ckpt"]

    path = fetch_file(
        "o/r",
        "big.ckpt",
        progress=lambda completed, total: repair() if completed == 1000 and server.cut else None,
    )
    assert path.read_bytes() == FILES["big.ckpt"] and logged_files() == [
        ("big.ckpt", None),
        ("big.ckpt", "bytes=1000-"),
    ]


@pytest.mark.parametrize("to", [None, "out"])
def test_a_second_call_resumes_where_the_first_stopped(server, repo_cache, tmp_path, to):
    half, total, to = len(WEIGHTS) // 2, len(WEIGHTS), to and tmp_path / to
    server.cut["unet/model.safetensors"] = half
    message = error_line(WeightsError, lambda: fetch("o/r", to=to))
    assert message.startswith(
        f"unet/model.safetensors of o/r breaks off at {half} of {total} bytes ("
    )
    assert message.endswith("); they are kept, run it again to go on")
    assert (
        server.files()[3:] == [("unet/model.safetensors", f"bytes={half}-")] * 3
    )  # the first break, then one retry after each of 2 pauses
    assert not (repo_cache / "snapshots").exists() and not (tmp_path / "out").exists()
    server.cut.clear()
    server.log.clear()
    assert tree(fetch("o/r", to=to)) == contents_of(*DEFAULT_FILES)
    assert server.files() == [("unet/model.safetensors", f"bytes={half}-"), ("vae/model.bin", None)]
    assert not [
        path for path in tmp_path.rglob("*") if "part" in path.name or "fetching" in path.name
    ]


def test_a_connection_that_keeps_breaking_still_completes(server):
    class GrowingCut(dict):
        def get(self, name, otherwise):
            self[name] = self.setdefault(name, 0) + 60_000
            return self[name]

    server.cut = GrowingCut()
    assert fetch_file("o/r", "big.ckpt").read_bytes() == FILES["big.ckpt"]
    assert [start for _, start in server.files()] == [
        None,
        "bytes=60000-",
        "bytes=120000-",
        "bytes=180000-",
    ]


@pytest.mark.parametrize("name", ["big.ckpt", "model_index.json"])
@pytest.mark.parametrize("to", [None, "out"])
def test_a_file_with_other_content_is_removed(server, tmp_path, to, name):
    server.wrong.add(name)
    message = error_line(WeightsError, lambda: fetch_file("o/r", name, to=to and tmp_path / to))
    assert message == f"{name} of o/r arrived damaged and was removed; download it again"
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    server.wrong.clear()
    assert fetch_file("o/r", name, to=to and tmp_path / to).read_bytes() == FILES[name]


def test_truncated_content_is_refused(server, repo_cache):
    server.short["big.ckpt"] = 500
    message = error_line(WeightsError, lambda: fetch_file("o/r", "big.ckpt"))
    assert message.startswith(
        f"big.ckpt of o/r breaks off at 500 of {len(FILES['big.ckpt'])} bytes (status 416); "
        f"they are kept, "
    )
    assert not (repo_cache / "snapshots").exists()


def test_a_truncated_file_in_the_cache_is_downloaded_again(server):
    folder = fetch("o/r")
    (folder / "vae/model.bin").resolve().write_bytes(b"half")
    assert tree(fetch("o/r")) == contents_of(*DEFAULT_FILES)


def test_verify_checks_size_and_hash(tmp_path):
    path, sha256 = tmp_path / "x.bin", hashlib.sha256(b"whole").hexdigest()
    assert (
        error_line(WeightsError, lambda: verify(path, 5, None))
        == f"{path} is missing; download it again"
    )
    path.write_bytes(b"who")
    assert (
        error_line(WeightsError, lambda: verify(path, 5, sha256))
        == f"{path} is truncated: 3 of 5 bytes; download it again"
    )
    assert (
        error_line(WeightsError, lambda: verify(path, 2, None))
        == f"{path} is too long: 3 of 2 bytes; download it again"
    )
    path.write_bytes(b"whale")
    other = hashlib.sha256(b"whale").hexdigest()
    message = error_line(WeightsError, lambda: verify(path, 5, sha256))
    assert (
        message
        == f"{path} is damaged: its hash is {other[:12]}, not {sha256[:12]}; download it again"
    )
    git = "f7742124594c9265a83df1848b91770860f307ff"
    assert f"not {git[:12]}; download" in error_line(WeightsError, lambda: verify(path, 5, git))
    path.write_bytes(b"whole")
    verify(path, 5, sha256)
    verify(path, 5, git)
    verify(path, None, None)


@pytest.mark.parametrize("name", ["vae/model.bin", "model_index.json"])
def test_check_snapshot_removes_a_damaged_file(server, name):
    folder = fetch("o/r")
    check_snapshot(folder)
    link = folder / name
    blob = link.resolve()
    blob.write_bytes(b"?" + blob.read_bytes()[1:])
    assert (
        error_line(WeightsError, lambda: check_snapshot(folder))
        == f"{link} was damaged and is removed; download it again"
    )
    assert not link.exists() and not blob.exists()
    assert tree(fetch("o/r")) == contents_of(*DEFAULT_FILES)


def test_the_token_is_sent_to_the_hub(server, monkeypatch):
    fetch("o/r")
    assert {request.token for request in server.log} == {"Bearer hf_secret"}


def test_a_redirected_download_gets_the_range_but_not_the_token(server):
    with serving() as store:
        server.store, store.cut["big.ckpt"] = store.url, 700
        error_line(WeightsError, lambda: fetch_file("o/r", "big.ckpt"))
        store.cut.clear()
        assert fetch_file("o/r", "big.ckpt").read_bytes() == FILES["big.ckpt"]
        assert store.files() == [("big.ckpt", None)] + [("big.ckpt", "bytes=700-")] * 4
        assert {request.token for request in store.log} == {None}
        huggingface_hub.close_session()


def test_a_new_process_reads_the_environment_and_imports_no_torch(server, tmp_path):
    code = (
        "import sys; from latentaudio.loaders.hub import fetch_file\n"
        "assert not {'torch', 'huggingface_hub'} & set(sys.modules)\n"
        "print(fetch_file('o/r', 'big.ckpt')); assert 'torch' not in sys.modules"
    )
    environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_CACHE"} | {
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    for offline in ("0", "1"):
        environment["HF_HUB_OFFLINE"] = offline
        completed = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert completed.stdout.strip() == str(
            tmp_path / "hf/hub/models--o--r/snapshots" / COMMIT / "big.ckpt"
        )
        assert not completed.stderr
    assert len(server.log) == 2


@pytest.mark.parametrize("to", [None, "out"])
def test_four_threads_share_one_transfer(server, tmp_path, to):
    errors, folders = [], []

    def one():
        try:
            folders.append(fetch("o/r", to=to and tmp_path / to))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=one) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not errors
    assert sorted(server.files()) == sorted((name, None) for name in DEFAULT_FILES if FILES[name])
    assert len(folders) == 4 and tree(folders[0]) == contents_of(*DEFAULT_FILES)
    assert [path.name for path in tmp_path.iterdir()] == [to or "cache"]


def test_files_of_one_folder_are_fetched_concurrently(server, tmp_path):
    server.cut["big.ckpt"] = 700
    error_line(WeightsError, lambda: fetch_file("o/r", "big.ckpt", to=tmp_path / "out"))
    server.cut.clear()
    server.log.clear()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: fetch_file("o/r", name, to=tmp_path / "out"), [*FILES, *FILES]))
    assert tree(tmp_path / "out") == FILES and [path.name for path in tmp_path.iterdir()] == ["out"]
    expected = {name: "bytes=700-" if name == "big.ckpt" else None for name in FILES if FILES[name]}
    assert sorted(server.files(), key=str) == sorted(expected.items(), key=str)


def test_default_files_prefer_plain_safetensors():
    names = [
        "README.md",
        ".gitattributes",
        "model_index.json",
        "cat.png",
        "v1.ckpt",
        "requirements.txt",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "text_encoder/pytorch_model.bin",
        "text_encoder/model.fp16.safetensors",
        "text_encoder/flax_model.msgpack",
        "text_encoder/model.onnx",
        "tokenizer/merges.txt",
        "tokenizer_2/spiece.model",
        "vae/diffusion_pytorch_model.bin",
        "vae/diffusion_pytorch_model.fp16.safetensors",
        "vocoder/model.fp16.safetensors",
        "vocoder/model.fp16.bin",
        "vocoder/model.non_ema.safetensors",
        "unet/model-00001-of-00002.safetensors",
        "unet/model-00002-of-00002.safetensors",
        "unet/model.safetensors.index.json",
        "unet/model.fp16-00001-of-00002.safetensors",
        "unet/model.safetensors.index.fp16.json",
        "unet/pytorch_model-00001-of-00001.bin",
        "unet/pytorch_model.bin.index.json",
    ]
    assert default_files(names) == [
        "model_index.json",
        "requirements.txt",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "tokenizer/merges.txt",
        "tokenizer_2/spiece.model",
        "vae/diffusion_pytorch_model.bin",
        "vocoder/model.fp16.safetensors",
        "unet/model-00001-of-00002.safetensors",
        "unet/model-00002-of-00002.safetensors",
        "unet/model.safetensors.index.json",
    ]
    assert default_files([]) == []


def test_the_download_command_reports_folder_and_size(server, capsys, tmp_path, repo_cache):
    total = sum(len(FILES[name]) for name in DEFAULT_FILES)
    download("o/r", json=True)
    facts = json.loads(capsys.readouterr().out)
    folder = str(repo_cache / "snapshots" / COMMIT)
    assert facts == {
        "name": "o/r",
        "repository": "o/r",
        "folder": folder,
        "files": len(DEFAULT_FILES),
        "bytes": total,
    }
    download("o/r", to=tmp_path / "out")
    assert (
        capsys.readouterr().out
        == f"{tmp_path / 'out'}  {len(DEFAULT_FILES)} files, {total / 1e6:.0f} MB\n"
    )
    download("o/r", quiet=True)
    assert capsys.readouterr() == ("", "")
