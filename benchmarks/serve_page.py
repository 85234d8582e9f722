"""Seconds from `latentaudio serve` to the first sound in its page, in a real headless browser.

    python benchmarks/serve_page.py --runs 3

The browser is open before the server starts. The page is opened as soon as the server listens, and
the prompt is sent as soon as the form is there. The sound counts when its player knows its length.
It needs the extra `browser-tests` and a Chromium of the system.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
POLL_S = 0.02
HAS_SOUND = "document.querySelector('article audio')?.duration > 0"


def start_server(store: Path) -> tuple[subprocess.Popen[str], str]:
    words = [sys.executable, "-m", "latentaudio", "serve", "--port", "0", "--store", str(store)]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if match := re.search(r"listening on (\S+)", line):
            threading.Thread(target=process.stderr.read, daemon=True).start()
            return process, match[1]
    raise SystemExit("the server did not start")


def measure(browser: Browser, duration: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        process, address = start_server(Path(folder) / "store")
        times = {"listening": time.monotonic() - start}
        context = browser.new_context()
        try:
            page = context.new_page()
            page.goto(address)
            page.wait_for_selector("h1")
            times["page"] = time.monotonic() - start
            page.fill("[name=prompt]", "a dog barking")
            if duration:
                page.fill("[name=duration]", duration)
            page.click("#submit")
            times["sent"] = time.monotonic() - start
            while not page.evaluate(HAS_SOUND):
                time.sleep(POLL_S)
            times["sound"] = time.monotonic() - start
        finally:
            context.close()
            stop = time.monotonic()
            process.terminate()
            process.wait()
        times["stopping"] = time.monotonic() - stop
        print({name: round(seconds, 2) for name, seconds in times.items()}, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--duration", default="", help="seconds; empty: what the page proposes")
    args = parser.parse_args()
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for _ in range(args.runs):
            measure(browser, args.duration)
        browser.close()


if __name__ == "__main__":
    main()
