"""Hostile requests to a server: none ends in a 5xx, tells a path or a stack, or stops the server.

python tests/serve/hostile.py --num 2000 --seed 1      (starts a server with mini on 127.0.0.1)
python tests/serve/hostile.py --only 17

A request is raw bytes on a socket: the kind and the number decide it.
"""

import argparse
import io
import json
import re
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
import zlib
from collections import Counter
from pathlib import Path
from random import Random

TIMEOUT_S = 120
SHORT_TIMEOUT_S = 1.5
MAY_WAIT = ("header_request", "garbage_request")
"""Kinds of requests that may not be complete: the server waits for the rest of their bodies."""
PATH = "/v1/audio/generations"
POSTS = (
    PATH, "/v1/audio/stream", "/v1/sound-generation", "/v1/audio/speech", "/v1/audio/generate",
)  # fmt: skip
FIELDS = (
    "prompt", "duration", "seed", "steps", "edit", "timeline", "rows", "regions", "morph", "model",
    "adapter", "format", "subtype", "bundle", "wait", "deadline_s", "num_waveforms", "candidates",
    "text", "input", "voice", "speed", "loop_seam", "sample_rate", "preview_every",
)  # fmt: skip
WORDS = (
    "null", "true", "[]", "{}", '""', "-1", "1e400", "NaN", "Infinity", "-0.0", "9" * 400,
    '"../../etc/passwd"', '"/etc/passwd"', '"file:///etc/passwd"', '"gen_' + "0" * 32 + '/0"',
    '"part:../x"', '"\\u0000"', '"\\ud800"', '"' + "a" * 5000 + '"', '{"kind": "vary"}',
    '{"kind": "inpaint", "file": "x", "mask": "data:image/png;base64,AAAA"}', "[[0, 1e308]]",
    "0.1", "0", "2", '"dog"', "[[1, 0]]", '[{"prompt": 1}]', '{"first": {}, "second": {}}',
)  # fmt: skip
PLACES = (
    "/", "/static/../app.py", "/static/%2e%2e%2fapp.py", "/v1/files/../../etc/passwd",
    f"{PATH}/%00", f"{PATH}/..%2f..%2fetc%2fpasswd/content", "/v1/models/..%2f..%2fetc", "/docs",
    f"{PATH}?limit=-1", f"{PATH}?limit=1e9", f"{PATH}?after=x", "/v1/files/file_x/content",
    f"{PATH}/gen_{'0' * 32}/content?clip=99999999999999999999", "//etc/passwd", "/%ff%fe",
)  # fmt: skip
LEAKS = re.compile(rb"Traceback|site-packages|/tmp/|\.py\"|latentaudio/serve")


def http(method, path, body=b"", headers=()):
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close"]
    names = {name.lower() for name, _ in headers}
    lines += [f"{name}: {value}" for name, value in headers]
    if "content-length" not in names and "transfer-encoding" not in names:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + body


def fuzzed_json(rng):
    pairs = []
    for _ in range(rng.randint(0, 6)):
        pairs.append(f'"{rng.choice(FIELDS)}": {rng.choice(WORDS)}')
    return ("{" + ", ".join(pairs) + "}").encode("utf-8", "replace")


def mutated(rng, data):
    data = bytearray(data)
    for _ in range(rng.randint(1, 8)):
        if data:
            data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data[: rng.randint(0, len(data))] if rng.random() < 0.3 else data)


def wav(num_stated, data=b"", rate=16000, channels=1):
    byte_rate = 2 * rate % 2**32
    facts = struct.pack("<IHHIIHH", 16, 1, channels, rate, byte_rate, 2, 16)
    head = b"RIFF" + struct.pack("<I", (num_stated + 36) % 2**32) + b"WAVEfmt " + facts
    return head + b"data" + struct.pack("<I", num_stated % 2**32) + data


def png(width, height):
    def chunk(kind, data):
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    size = struct.pack(">II5B", width, height, 8, 0, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + pixels + chunk(b"IEND", b"")


def zip_bomb():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(10**7))
    return buffer.getvalue()


BOMBS = (
    wav(2**32 - 40, bytes(100)), wav(10**9, bytes(4000), channels=60_000),
    wav(2000, bytes(2000), rate=1), wav(2000, bytes(2000), rate=2**31), wav(0),
    png(60_000, 60_000), png(0, 0), zip_bomb(), b"", b"RIFF", b"OggS" + bytes(50),
    b"fLaC" + bytes(38), b"ID3" + bytes(30), b"\xff\xd8\xff" + bytes(20),
    wav(2000, b"\x00\x10" * 1000),
)  # fmt: skip


def multipart(rng, parts):
    boundary = "b0undary"
    body = b""
    for name, data, filename in parts:
        file = f'; filename="{filename}"' if filename is not None else ""
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
        body += head.encode("utf-8", "replace") + data + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    if rng.random() < 0.4:
        body = mutated(rng, body)
    return body, ("Content-Type", f"multipart/form-data; boundary={boundary}")


def json_request(rng):
    body = fuzzed_json(rng)
    if rng.random() < 0.3:
        body = mutated(rng, body)
    return http("POST", rng.choice(POSTS), body, [("Content-Type", "application/json")])


def deep_request(rng):
    letter = rng.choice(("[", '{"edit":', '{"rows":['))
    body = (letter * rng.choice((10, 1000, 50_000))).encode()
    return http("POST", rng.choice(POSTS), body, [("Content-Type", "application/json")])


def upload_request(rng):
    name = rng.choice(("../../x.wav", "a" * 3000, "\x01.wav", "x.wav", "..\\..\\x"))
    data = rng.choice(BOMBS)
    if rng.random() < 0.3:
        data = mutated(rng, data)
    body, header = multipart(rng, [("file", data, name)])
    return http("POST", "/v1/files", body, [header])


def edit_request(rng):
    kind = rng.choice(("vary", "inpaint", "transfer", "super_resolve", "extend", "loop"))
    strength = {"strength": 0.5} if kind in ("vary", "transfer") else {}
    edit = json.dumps({"kind": kind, **strength}).encode()
    parts = [("file", rng.choice(BOMBS), "x.wav"), ("edit", edit, None)]
    parts += [("steps", b"1", None), ("prompt", b"dog", None), ("seed", b"1", None)]
    if rng.random() < 0.3:
        parts.append(("mask", rng.choice(BOMBS), "mask.png"))
    body, header = multipart(rng, parts)
    return http("POST", PATH, body, [header])


def place_request(rng):
    method = rng.choice(("GET", "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "XX"))
    return http(method, rng.choice(PLACES))


def header_request(rng):
    headers = rng.choice(
        (
            [("Content-Length", "99999999999"), ("Content-Type", "application/json")],
            [("Content-Length", "-5")],
            [("Transfer-Encoding", "chunked"), ("Content-Type", "application/json")],
            [("Idempotency-Key", "k" * 5000), ("Content-Type", "application/json")],
            [("Content-Type", "multipart/form-data"), ("X", "y" * 60_000)],
            [("Range", "bytes=0-99999999999999999999999"), ("Authorization", "Bearer \xff")],
            [("Content-Encoding", "gzip"), ("Content-Type", "application/json")],
        )
    )
    return http("POST", rng.choice(POSTS), b'{"prompt": 1}', headers)


def garbage_request(rng):
    return bytes(rng.randrange(256) for _ in range(rng.randint(1, 300))) + b"\r\n\r\n"


def cut_request(rng):
    data = json_request(rng)
    return data[: rng.randint(1, len(data))]


KINDS = (
    json_request, deep_request, upload_request, edit_request, place_request, header_request,
    garbage_request, cut_request,
)  # fmt: skip


def make(seed, number):
    """The bytes of one request, and whether the client goes away before the answer."""
    rng = Random(f"{seed}/{number}")
    kind = KINDS[number % len(KINDS)]
    is_cut = kind is cut_request or rng.random() < 0.1
    return kind.__name__, kind(rng), is_cut


def send(address, data, is_cut, timeout_s):
    """Send a request; return the whole answer, b"" if the connection ends without one."""
    answer = b""
    with socket.create_connection(address, timeout=timeout_s) as connection:
        try:
            connection.sendall(data)
            if is_cut:
                return b""
            while piece := connection.recv(1 << 16):
                answer += piece
        except (ConnectionError, BrokenPipeError):
            return answer
    return answer


def problem_with(answer, store):
    """What is wrong with an answer, or None."""
    if not answer:
        return None
    status = re.match(rb"HTTP/1\.[01] (\d+)", answer)
    if status is None:
        return f"no status: {answer[:60]!r}"
    if status[1].startswith(b"5"):
        return f"status {status[1].decode()}: {answer[-300:]!r}"
    is_sound = b"content-type: audio" in answer[:2000] or b"content-type: image" in answer[:2000]
    if not is_sound and (LEAKS.search(answer) or store.encode() in answer):
        return f"a leak: {answer[:500]!r}"
    return None


def attack(address, store, numbers, seed):
    """Send requests; return what is wrong, and how many answers had each status."""
    failures = []
    statuses = Counter()
    for number in numbers:
        kind, data, is_cut = make(seed, number)
        try:
            timeout_s = SHORT_TIMEOUT_S if kind in MAY_WAIT else TIMEOUT_S
            answer = send(address, data, is_cut, timeout_s)
        except TimeoutError:
            if kind not in MAY_WAIT:
                failures.append((number, kind, "no answer in time"))
            statuses["waits for the rest"] += 1
            continue
        found = re.match(rb"HTTP/1\.[01] (\d+)", answer)
        statuses[found[1].decode() if found else "closed"] += 1
        wrong = problem_with(answer, store)
        if wrong is not None:
            failures.append((number, kind, wrong))
    return failures, statuses


def fetch(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=600) as answer:
        return answer.read()


def memory_mb(pid):
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024


def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int)
    args = parser.parse_args()
    numbers = range(args.num) if args.only is None else [args.only]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        store = Path(folder) / "store"
        words = [sys.executable, "-m", "latentaudio", "serve", "--port", "0", "--store", str(store)]
        words += ["--max-stream", "2"]
        with log.open("w") as file:
            process = subprocess.Popen(words, stderr=file)
        try:
            while not (found := re.search(r"listening on http://([\d.]+):(\d+)", log.read_text())):
                time.sleep(0.2)
            address = (found[1], int(found[2]))
            url = f"http://{found[1]}:{found[2]}{PATH}"
            body = {"prompt": "dog", "duration": 1, "seed": 5, "wait": True}
            while True:
                try:
                    before = fetch(url, body)
                    break
                except OSError:
                    time.sleep(0.5)
            memory = memory_mb(process.pid)
            failures, statuses = attack(address, str(store), numbers, args.seed)
            for failure in failures:
                say(*failure)
            after = fetch(url, body)
            parts = list((store / "files").glob(".*.part"))
            say(f"{dict(statuses)}; {len(failures)} failures of {len(numbers)}")
            say(f"memory {memory:.0f} MB before, {memory_mb(process.pid):.0f} MB after")
            say(f"same bytes: {before == after}; temporary files left: {len(parts)}")
            say("stacks in the log:", log.read_text().count("Traceback"))
        finally:
            process.kill()
            process.wait()
    sys.exit(bool(failures) or before != after or bool(parts))


if __name__ == "__main__":
    main()
