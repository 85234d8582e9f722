"""The way of a request from the command line to the file: few files, each entered once.

A file is on the way if one of its functions receives the request: the words of the command line,
the options that are set, `GenerationOptions`, a resolved request, or the finished clip, which has
its request. Two kinds of functions do not count. Methods of the request are the request itself.
Functions that receive a single value of it, such as a text, a duration or the tags of a file, do
not know that there is a request.
"""

import sys
from pathlib import Path

import pytest

import latentaudio
from latentaudio.audio.io import Audio
from latentaudio.cli.main import main
from latentaudio.config.options import GenerationOptions
from latentaudio.generation import denoise, resolve

pytestmark = pytest.mark.cli

PACKAGE = f"{Path(latentaudio.__file__).parent}/"
REQUESTS = (GenerationOptions, resolve.ResolvedRequest, denoise.BatchInputs)
PATH = [
    "cli/main",
    "cli/generate",
    "config/options",
    "pipeline",
    "generation/resolve",
    "generation/engine",
    "generation/window_conditioning",
    "generation/denoise",
    "audio/postprocess",
    "cli/output",
    "audio/io",
]
"""The files of `latentaudio generate PROMPT`, in the order of the request."""


def carries_request(value):
    """Whether a value is the request, or a list of requests."""
    if type(value) in (list, tuple) and value:
        return "--steps" in value if isinstance(value[0], str) else carries_request(value[0])
    if type(value) is dict:
        return {"model", "steps"} <= value.keys() and "software" not in value  # a tag
    return isinstance(value, (*REQUESTS, Audio))


class Tracer:
    """Records the functions of latentaudio that receive the request.

    Attributes:
        files: The files, in order of their first such function.
        entries: Functions that received it from another file, as "file:function".
    """

    def __init__(self):
        self.files = []
        self.entries = []
        self._frames = {}  # by id; kept, so that no other frame gets the same id

    def __call__(self, frame, event, arg):
        # a generator that goes on is another call of the same frame
        if event != "call" or id(frame) in self._frames or not file_of(frame):
            return
        name = file_of(frame)
        self._frames[id(frame)] = frame
        code = frame.f_code
        has_args = bool(code.co_flags & 4)
        has_kwargs = bool(code.co_flags & 8)
        count = code.co_argcount + code.co_kwonlyargcount + has_args + has_kwargs
        values = [frame.f_locals.get(argument) for argument in code.co_varnames[:count]]
        first = values[0] if values else None
        is_class = isinstance(first, type) and issubclass(first, REQUESTS)
        is_method = is_class or (code.co_varnames[:1] == ("self",) and isinstance(first, REQUESTS))
        if is_method or not any(map(carries_request, values)):
            return
        if name not in self.files:
            self.files.append(name)
        caller = frame.f_back
        while caller is not None and not file_of(caller):
            caller = caller.f_back
        if caller is None or file_of(caller) != name:
            self.entries.append(f"{name}:{code.co_name}")


def file_of(frame):
    """The name of a frame's file in the package, or ""."""
    path = frame.f_code.co_filename
    return path.removeprefix(PACKAGE).removesuffix(".py") if path.startswith(PACKAGE) else ""


@pytest.fixture
def flags(tiny_folder):
    return ["--model", str(tiny_folder), "--steps", "1", "--duration", "0.3", "--device", "cpu"]


def test_a_prompt_passes_11_files_and_enters_each_once(flags, tmp_path):
    tracer = Tracer()
    sys.setprofile(tracer)
    try:
        code = main(["generate", "a dog barking", *flags, "-o", str(tmp_path / "a.wav"), "--quiet"])
    finally:
        sys.setprofile(None)
    assert code == 0
    assert tracer.files == PATH
    assert [entry.partition(":")[0] for entry in tracer.entries] == PATH, tracer.entries


@pytest.fixture
def validated(monkeypatch):
    """The requests that are validated, by prompt."""
    prompts = []
    real = GenerationOptions.__init__

    def counted(self, **values):
        real(self, **values)
        prompts.append(self.prompt)

    monkeypatch.setattr(GenerationOptions, "__init__", counted)
    return prompts


@pytest.fixture
def resolved(monkeypatch):
    """The requests that are resolved, by prompt."""
    prompts = []
    real = resolve.resolve_options

    def counted(options, source):
        prompts.append(options.prompt)
        return real(options, source)

    monkeypatch.setattr(resolve, "resolve_options", counted)
    return prompts


def test_generate_validates_and_resolves_each_prompt_once(flags, tmp_path, validated, resolved):
    output = f"{tmp_path}/out/"
    assert main(["generate", "a dog", "a bell", *flags, "-o", output, "--quiet"]) == 0
    assert validated == resolved == ["a dog", "a bell"]


def test_python_validates_and_resolves_each_prompt_once(tiny, validated, resolved):
    prompts = ["a dog", "a bell"]
    tiny.generate(prompts, duration=0.3, steps=1, num_waveforms=2)
    assert validated == resolved == prompts


def test_a_batch_validates_and_resolves_each_row_once(flags, tmp_path, validated, resolved):
    rows = tmp_path / "list.txt"
    rows.write_text("a dog\na bell\n")
    assert main(["batch", str(rows), str(tmp_path / "out"), *flags, "--quiet"]) == 0
    assert validated == resolved == ["a dog", "a bell"]


def test_an_edit_is_validated_and_resolved_once(tiny, flags, tmp_path, validated, resolved):
    [clip] = tiny.generate("a dog", duration=0.3, steps=1)
    source = clip.save(tmp_path / "dog.wav")
    words = ["vary", str(source), "a bell", *flags[:4], "-o", str(tmp_path / "bell.wav")]
    assert main([*words, "--quiet"]) == 0
    assert validated == resolved == ["a dog", "a bell"]


def test_a_stream_validates_its_request_once_and_resolves_each_piece(tiny, validated, resolved):
    pieces = tiny.generate_stream("a dog", duration=12.0, steps=1)
    assert len(list(pieces)) == 2
    assert validated == ["a dog"]
    assert resolved == ["a dog", "a dog"]
