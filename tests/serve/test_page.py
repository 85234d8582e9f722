"""The page in a real headless Chromium, against the real application over the tiny model.

It needs the package playwright and a Chromium of the system; axe needs scripts/fetch_axe.sh. Where
they are missing, the tests are skipped, and pytest says why.
"""

import base64
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from live_server import MAX_STEPS, application, running

from latentaudio.audio.encoding import encode

sync_api = pytest.importorskip("playwright.sync_api", reason="needs pip install playwright")
expect = sync_api.expect
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
if BROWSER is None:
    pytest.skip("needs a Chromium: apt-get install chromium", allow_module_level=True)

AXE = Path(__file__).parents[2] / ".cache/axe.min.js"
TIMEOUT_MS = 120_000
TABS = (
    "generate", "timeline", "morph", "transfer", "vary", "inpaint", "extend", "loop",
    "super_resolve",
)  # fmt: skip
_FLAGS = ["--no-sandbox", "--disable-gpu", "--use-fake-ui-for-media-stream",
          "--use-fake-device-for-media-stream"]  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(tiny_folder, tmp_path_factory):
    with running(application(tiny_folder, tmp_path_factory.mktemp("store"))) as url:
        yield url


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=BROWSER, args=_FLAGS)
        yield launched
        launched.close()


@pytest.fixture
def open_page(browser, address):
    """Return a function that opens the page; at the end, it must not have logged any error."""
    contexts = []
    problems = []

    def open_(url=address, **settings):
        context = browser.new_context(**settings)
        contexts.append(context)
        context.set_default_timeout(TIMEOUT_MS)
        opened = context.new_page()
        opened.on("pageerror", lambda error: problems.append(str(error)))
        opened.goto(url)
        return opened

    expect.set_options(timeout=TIMEOUT_MS)
    yield open_
    for context in contexts:
        context.close()
    assert not problems


@pytest.fixture
def page(open_page):
    opened = open_page()
    expect(opened.locator("#status")).to_contain_text("is ready")
    return opened


def wait_until(page, expression):
    """Wait until an expression of JavaScript is true, and return it; the page forbids eval."""
    end = time.monotonic() + TIMEOUT_MS / 1000
    while True:
        value = page.evaluate(expression)
        if value:
            return value
        assert time.monotonic() < end, expression
        page.wait_for_timeout(50)


def make(page, prompt, **fields):
    """Generate a sound of one second."""
    page.fill("[name=prompt]", prompt)
    if page.is_visible("[name=duration]"):
        page.fill("[name=duration]", "1")
    for name, value in fields.items():
        page.fill(f"[name={name}]", str(value))
    count = page.locator("article.sound").count()
    page.click("#submit")
    wait_until(
        page,
        f"document.querySelectorAll('article.sound').length > {count}"
        " || document.querySelector('.error:not(:empty)')?.textContent",
    )
    assert page.locator(".error:not(:empty)").all_inner_texts() == []
    expect(page.locator("article.sound")).to_have_count(count + 1)


def send_to(page, tab):
    """Make the newest sound the source of a tab."""
    article = page.locator("article.sound").first
    article.locator("[name=place]").select_option(tab)
    article.get_by_role("button", name="Send", exact=True).click()
    expect(page.locator(f"#tab-{tab}")).to_have_attribute("aria-selected", "true")
    expect(page.locator("fieldset.source").first.locator("audio")).to_be_visible()
    # the duration stands there when the sound is decoded and can be drawn on
    expect(page.locator("fieldset.source").first.locator(".hint")).to_contain_text(" s")


def last_job(page):
    """The newest job as the server tells it."""
    return page.evaluate("fetch('v1/audio/generations').then((r) => r.json())")["data"][0]


def drag(page, start, end):
    """Drag over the picture of the source; places are fractions of it."""
    box = page.locator(".overlay").bounding_box()
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
    page.mouse.move(*points[0])
    page.mouse.down()
    page.mouse.move(*points[1], steps=4)
    page.mouse.up()


def test_a_sound_is_generated_drawn_and_still_there_after_a_reload(page):
    make(page, "a bell", seed=7)
    article = page.locator("article.sound")
    expect(article.locator("h3")).to_have_text("a bell")
    expect(article.locator(".mark")).to_have_text("AI generated")
    page.reload()
    expect(article).to_have_count(1)
    expect(article.locator(".facts")).to_contain_text("seed 7")
    wait_until(page, "document.querySelector('article .mel').width > 50")
    colors = page.evaluate(
        "(() => { const c = document.querySelector('article .mel');"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "return new Set(new Uint32Array(d.buffer)).size; })()"
    )
    assert colors > 20
    duration = wait_until(page, "document.querySelector('article audio').duration")
    assert duration == pytest.approx(1.0, abs=0.01)
    page.fill("[name=prompt]", "something else")
    article.get_by_role("button", name="Use settings again").click()
    expect(page.locator("[name=prompt]")).to_have_value("a bell")
    expect(page.locator("[name=seed]")).to_have_value("7")
    expect(page.locator("[name=lock]")).to_be_checked()


def test_the_seed_changes_unless_it_is_locked(page):
    make(page, "a bell")
    first = page.input_value("[name=seed]")
    make(page, "a bell")
    assert page.input_value("[name=seed]") != first
    page.check("[name=lock]")
    second = page.input_value("[name=seed]")
    make(page, "a bell")
    assert page.input_value("[name=seed]") == second
    page.get_by_role("button", name="Roll").click()
    assert page.input_value("[name=seed]") != second
    expect(page.locator("[name=lock]")).to_be_checked()


def test_cancel_frees_the_place_and_progress_is_shown(page):
    page.fill("[name=prompt]", "a long bell")
    page.fill("[name=duration]", "10")
    page.get_by_text("More options").click()
    page.fill("[name=steps]", str(MAX_STEPS))
    page.click("#submit")
    card = page.locator("article.job")
    expect(card.locator(".hint")).to_have_text(re.compile(rf"Step \d+ of {MAX_STEPS}\. .*s left"))
    card.get_by_role("button", name="Cancel").click()
    expect(card).to_have_attribute("data-status", "cancelled")
    expect(card).to_contain_text("Cancelled.")
    job = last_job(page)
    assert job["status"] == "cancelled"
    assert job["steps_done"] < MAX_STEPS
    card.get_by_role("button", name="Dismiss").click()
    expect(card).to_have_count(0)


def test_a_region_is_drawn_with_the_pointer(page):
    make(page, "a bell")
    send_to(page, "inpaint")
    drag(page, (0.25, 0.3), (0.5, 0.6))
    page.locator("[name=tool]").select_option("band")
    drag(page, (0.2, 0.25), (0.3, 0.75))
    make(page, "a dog")
    edit = str(last_job(page)["clips"][0]["options"]["edit"])
    assert "inpaint" in edit
    times = [float(each) for each in re.findall(r"time_ranges[^\d]*([\d.]+), ([\d.]+)", edit)[0]]
    assert times == pytest.approx([0.25, 0.5], abs=0.03)
    low, high = map(float, re.findall(r"frequency_ranges[^\d]*([\d.]+), ([\d.]+)", edit)[0])
    assert 0 < low < high < 8000


def test_a_region_is_drawn_with_the_keyboard(page):
    make(page, "a bell")
    send_to(page, "inpaint")
    page.locator(".overlay").focus()
    for key in ("Space", "Shift+ArrowRight", "Shift+ArrowRight", "Space"):
        page.keyboard.press(key)
    ends = page.locator(".ranges input")
    expect(ends.nth(0)).to_have_value("0.5")
    expect(ends.nth(1)).to_have_value("0.7")
    ends.nth(1).fill("0.8")
    make(page, "a dog")
    assert "0.8" in str(last_job(page)["clips"][0]["options"]["edit"])


def test_a_brush_paints_a_mask_which_comes_back_with_the_settings(page):
    make(page, "a bell")
    send_to(page, "inpaint")
    page.locator("[name=tool]").select_option("brush")
    drag(page, (0.3, 0.4), (0.5, 0.6))
    make(page, "a dog")
    assert "mask" in str(last_job(page)["clips"][0]["options"]["edit"])
    page.reload()
    article = page.locator("article.sound").first
    article.get_by_role("button", name="Use settings again").click()
    wait_until(
        page,
        "(() => { const c = document.querySelector('.overlay'); if (c.width < 50) return false;"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "return d.filter((v, i) => i % 4 === 3 && v > 0).length > 100; })()",
    )


def test_without_a_region_or_a_source_the_page_says_what_to_do(page):
    page.click("#tab-inpaint")
    page.click("#submit")
    expect(page.get_by_role("alert").first).to_contain_text("Choose a source")
    page.click("#tab-generate")
    page.fill("[name=prompt]", "")
    page.click("#submit")
    expect(page.get_by_role("alert").first).to_contain_text("prompt is empty")


@pytest.mark.parametrize("tab", ["transfer", "vary", "extend", "loop", "super_resolve"])
def test_every_edit_has_a_tab_that_works(page, tab):
    make(page, "a bell")
    send_to(page, tab)
    if tab == "super_resolve":
        drag(page, (0.5, 0.2), (0.5, 0.5))
        assert 500 < float(page.input_value("[name=cutoff_hz]")) < 4000
    if tab == "loop":
        page.fill("[name=loop_seam]", "0.4")
    make(page, "a dog")
    assert last_job(page)["verb"] == tab


def test_a_timeline_and_a_morph(page):
    page.click("#tab-timeline")
    page.fill("[name=duration]", "4")
    page.fill("[name=cue-text]", "rain")
    page.get_by_role("button", name="Add a prompt").click()
    page.keyboard.type("a bell")
    page.locator(".block").nth(1).focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("[name=cue-start]").nth(1)).to_have_value("2.1")
    page.click("#submit")
    expect(page.locator("article.sound h3")).to_have_text("rain → a bell")
    page.click("#tab-morph")
    page.fill("[name=first_text]", "wind")
    page.fill("[name=second_text]", "a dog")
    page.fill("[name=duration]", "1")
    page.click("#submit")
    expect(page.locator("article.sound h3").first).to_have_text("wind → a dog")
    assert last_job(page)["verb"] == "morph"


def test_a_recording_from_the_microphone_is_edited(open_page):
    page = open_page(permissions=["microphone"])
    page.click("#tab-vary")
    page.get_by_role("button", name="Record", exact=True).first.click()
    expect(page.get_by_role("button", name="Stop recording")).to_be_visible()
    page.wait_for_timeout(1500)
    page.get_by_role("button", name="Stop recording").click()
    expect(page.locator("fieldset.source").first.locator(".hint")).to_contain_text("recording,")
    page.fill("[name=prompt]", "a beep")
    page.click("#submit")
    expect(page.locator("article.sound")).to_have_count(1)


def test_a_file_is_dropped_on_the_source(page):
    page.click("#tab-loop")
    samples = 0.3 * np.sin(np.arange(16000, dtype=np.float32) / 9)
    data = base64.b64encode(encode(samples, 16000, ".wav")).decode()
    page.evaluate(
        """(data) => {
        const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
        const transfer = new DataTransfer();
        transfer.items.add(new File([bytes], "tone.wav", { type: "audio/wav" }));
        const event = new DragEvent("drop", { dataTransfer: transfer, bubbles: true });
        document.querySelector("fieldset.source").dispatchEvent(event);
    }""",
        data,
    )
    expect(page.locator("fieldset.source .hint").first).to_have_text("tone.wav, 1 s")
    page.fill("[name=loop_seam]", "0.4")
    make(page, "a tone")
    assert last_job(page)["verb"] == "loop"


def test_a_speech_model_has_a_transcript_and_adapters_are_offered(browser, address):
    def change(route):
        models = route.fetch().json()
        models["data"][0] |= {"is_speech": True, "adapters": ["dogs"]}
        route.fulfill(json=models)

    context = browser.new_context()
    page = context.new_page()
    page.route("**/v1/models", change)
    page.goto(address)
    expect(page.locator("[name=transcript]")).to_be_visible()
    page.locator("[name=adapter]").select_option("dogs")
    context.close()


def test_sounds_are_compared_and_downloaded_in_another_format(page):
    make(page, "a bell")
    make(page, "a dog")
    page.get_by_role("button", name="Compare as A").nth(0).click()
    page.get_by_role("button", name="Compare as B").nth(1).click()
    expect(page.locator("#compare audio")).to_have_count(2)
    page.get_by_role("button", name="Switch sides").click()
    wait_until(page, "[...document.querySelectorAll('#compare audio')].some((a) => !a.paused)")
    article = page.locator("article.sound").first
    article.locator("[name=format]").select_option("flac")
    with page.expect_download() as caught:
        article.get_by_role("button", name="Download").click()
    assert caught.value.suggested_filename.endswith(".flac")
    assert Path(caught.value.path()).read_bytes()[:4] == b"fLaC"


def test_the_first_paint_needs_no_server_behind_the_files(browser, address):
    context = browser.new_context()
    page = context.new_page()
    page.route("**/v1/**", lambda route: route.abort())
    page.goto(address)
    expect(page.locator("h1")).to_be_visible()
    expect(page.locator("#status")).to_contain_text("does not answer")
    page.unroute("**/v1/**")
    expect(page.locator("#tab-generate")).to_be_visible()
    context.close()


def test_the_page_asks_for_the_key_of_the_server(open_page, tiny_folder, tmp_path):
    with running(application(tiny_folder, tmp_path, ["secret"])) as url:
        page = open_page("about:blank")
        page.on("dialog", lambda dialog: dialog.accept("secret"))
        page.goto(url)
        expect(page.locator("#status")).to_contain_text("is ready")
        make(page, "a bell")
        page.close()


def test_nothing_overflows_a_narrow_screen(open_page):
    page = open_page(viewport={"width": 380, "height": 800})
    make(page, "a bell with a name that is longer than the screen is wide, " * 3)
    send_to(page, "inpaint")
    for tab in TABS:
        page.click(f"#tab-{tab}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 380, tab


def test_tabs_move_with_the_arrow_keys(page):
    page.locator("#tab-generate").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#tab-timeline")).to_be_focused()
    page.keyboard.press("End")
    expect(page.locator(f"#tab-{TABS[-1]}")).to_have_attribute("aria-selected", "true")


@pytest.mark.skipif(not AXE.is_file(), reason="needs axe-core: sh scripts/fetch_axe.sh")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing(open_page, theme):
    page = open_page(color_scheme=theme, bypass_csp=True)
    make(page, "a bell")
    send_to(page, "inpaint")
    drag(page, (0.2, 0.2), (0.5, 0.6))
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    page.get_by_role("button", name="Compare as A").first.click()
    page.evaluate(AXE.read_text())
    for tab in TABS:
        page.click(f"#tab-{tab}")
        found = page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
        assert not found, [(each["id"], each["nodes"][0]["html"]) for each in found]
