"""The page docs/browser in headless Chromium, and the JavaScript walk in Node, against our clips.

    pip install playwright        # and Chromium from the system
    python scripts/build_browser_page.py
    python benchmarks/browser.py [--chromium /usr/bin/chromium]

It prints the table of benchmarks/browser.md: whether the bytes of a seed repeat, which sound class
the classifier of the benchmark hears, the distance from the torch model's clip, the time of the
second run, and the processor time that all processes of Chromium used for it.
"""

import argparse
import base64
import contextlib
import functools
import http.server
import io
import shutil
import subprocess
import tempfile
import threading
import time
import wave
from pathlib import Path
from typing import ClassVar

import numpy as np
import psutil

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
CLASSIFIER = ROOT / "benchmarks" / "classifier"
PROMPTS = {"a dog barking": "dog", "rain": "rain", "a siren": "siren"}
"""Prompts, and the sound class of each."""
DURATION_S = 5
SEED = 7
NPM_PACKAGES = ("onnxruntime-web@1.30.0", "@huggingface/tokenizers@0.2.0")
TIMEOUT_MS = 1_800_000
READ_PLAYER = """async () => {
    const url = document.getElementById("sound-player").src;
    const bytes = new Uint8Array(await (await fetch(url)).arrayBuffer());
    return btoa(bytes.reduce((text, byte) => text + String.fromCharCode(byte), ""));
}"""


class Site(http.server.SimpleHTTPRequestHandler):
    """The folder docs, with the types that browsers need, and without a line per request."""

    extensions_map: ClassVar = {
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def log_message(self, *_):
        pass


def serve():
    """Serve the folder docs; return the address."""
    handler = functools.partial(Site, directory=str(DOCS))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def page_html():
    """The form of docs/browser/index.md, as a page without the theme of the site."""
    lines = (DOCS / "browser" / "index.md").read_text().splitlines()
    body = [line for line in lines if line.startswith("<")]
    return "<!doctype html><meta charset=utf-8><title>sounds</title>" + "\n".join(body)


def samples_of(wav):
    """Samples of the bytes of a 16-bit .wav file."""
    with wave.open(io.BytesIO(wav)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768


def processor_s():
    """Processor time of this process's children, in seconds."""
    total = 0.0
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            total += times.user + times.system
    return total


def run_in_browser(chromium, prompts):
    """Return, per prompt, the bytes of two runs, and seconds and processor time of the second."""
    from playwright.sync_api import sync_playwright

    results = {}
    with sync_playwright() as playwright:
        # without its sandbox, which root cannot use; the page is our own
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"], timeout=TIMEOUT_MS
        )
        page = browser.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.on("pageerror", lambda error: print("page error:", error))
        address = f"{serve()}/browser/index.html"
        page.route(address, lambda route: route.fulfill(body=page_html(), content_type="text/html"))
        page.goto(address)
        page.fill("[name=duration]", str(DURATION_S))
        start = time.perf_counter()
        for prompt in prompts:
            page.fill("[name=prompt]", prompt)
            page.fill("[name=seed]", str(SEED))
            runs = []
            for _ in range(2):
                used = processor_s()
                page.click("button[type=submit]")
                page.wait_for_function(
                    "document.querySelector('#sound-form button').disabled === false"
                )
                status = page.inner_text("#sound-status")
                assert status.startswith("generated in"), status
                runs.append(base64.b64decode(page.evaluate(READ_PLAYER)))
                used = processor_s() - used
                elapsed = time.perf_counter() - start
                print(f"{prompt}: {status}, {used:.1f} s of processor, {elapsed:.0f} s in all")
            results[prompt] = (runs, float(status.split()[2]), used)
        browser.close()
    return results


def run_in_node(folder, prompts):
    """Return the bytes of each prompt from the walk in Node."""
    for name in ("onnx_inputs.mjs", "onnx_walk.mjs"):
        walk = shutil.copy(DOCS / "examples" / name, folder)
    subprocess.run(["npm", "install", "--silent", *NPM_PACKAGES], cwd=folder, check=True)
    clips = {}
    for prompt in prompts:
        target = folder / "clip.wav"
        words = [str(DOCS / "browser" / "model"), prompt, str(DURATION_S), str(SEED), str(target)]
        subprocess.run(["node", str(walk), *words], cwd=folder, check=True)
        clips[prompt] = target.read_bytes()
    return clips


def distance_db(clip, reference):
    """Energy of the difference, relative to the reference."""
    return 20 * np.log10(np.linalg.norm(clip - reference) / np.linalg.norm(reference))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    parser.add_argument("--prompts", nargs="+", choices=PROMPTS, default=list(PROMPTS))
    args = parser.parse_args()
    browser = run_in_browser(args.chromium, args.prompts)
    with tempfile.TemporaryDirectory() as folder:
        node = run_in_node(Path(folder), args.prompts)
    # after the browser, whose time is measured
    from latentaudio import load
    from latentaudio.evaluate.mini.classifier import load_classifier

    model = load("mini", "cpu", "fp32")
    classifier = load_classifier(CLASSIFIER)
    print("| prompt | bytes repeat | heard | distance in Chromium | in Node | time | processor |")
    print("|---|---|---|---|---|---|---|")
    for prompt in args.prompts:
        label = PROMPTS[prompt]
        runs, seconds, used = browser[prompt]
        clip = samples_of(runs[0])
        options = {"duration": DURATION_S, "seed": SEED, "preset": "draft"}
        options |= {"candidates": 1, "normalize": "none"}
        [ours] = model.generate(prompt, **options)
        scores = classifier.predict([clip.astype(np.float32)]).log_probs[0]
        heard = classifier.class_names[int(scores.argmax())]
        cells = [
            prompt,
            "yes" if runs[0] == runs[1] else "NO",
            heard if heard == label else f"{heard}, NOT {label}",
            f"{distance_db(clip, ours.samples[0]):.0f} dB",
            f"{distance_db(samples_of(node[prompt]), ours.samples[0]):.0f} dB",
            f"{seconds:.1f} s",
            f"{used:.1f} s",
        ]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
