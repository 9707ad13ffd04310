"""The report's page under fingers and under a mouse, in light and in dark: Chromium as a phone and as a desktop."""

import io
import json
import shutil
from contextlib import suppress

import chromium
import pytest
from cases import quick
from PIL import Image

from edgerl.experiments.reports import write

pytestmark = chromium.needed
LONG = "frozen at 300, updates_per_step_after_freeze 4.0, priority cross_entropy"
UNBROKEN = "a_name_without_a_space_" * 4
VARIANTS = {LONG: {}, UNBROKEN: {"freeze_at": '"never"'}, "half the budget": {"budget": "1500000"}}
PLOTS = ("scores", "rows", "memory", "ledger", "speed", "reaching")
SCORES, MEMORY = '[data-plot="scores"]', '[data-plot="memory"]'
DEVICES = {
    "phone": {
        "viewport": {"width": 390, "height": 844},
        "device_scale_factor": 2,
        "has_touch": True,
        "is_mobile": True,
    },
    "desktop": {"viewport": {"width": 1280, "height": 900}},
}
OUTSIDE = """() => {
    const page = document.documentElement, outside = (place) => {
        const box = place.getBoundingClientRect();
        return box.width && (box.left < -0.5 || box.right > innerWidth + 0.5);
    };
    const places = [...document.querySelectorAll("button, select, p, h1, h2, h3, .scroll, pre, [data-plot] text")];
    return [page.scrollWidth - innerWidth, ...places.filter(outside).map((place) => place.textContent)];
}"""
COVERED = """() => [...document.querySelectorAll(".names")].filter((names) =>
    names.getBoundingClientRect().bottom > names.nextElementSibling.getBoundingClientRect().top + 0.5).length"""
CONTRASTS = """() => {
    const light = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map((value) => value / 255)
        .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
        .reduce((sum, value, at) => sum + value * [0.2126, 0.7152, 0.0722][at], 0.05);
    const paper = light(getComputedStyle(document.body).backgroundColor);
    const contrast = (ink) => Math.max(ink, paper) / Math.min(ink, paper);
    const of = (query, key) => [...document.querySelectorAll(query)].map((place) =>
        contrast(light(getComputedStyle(place)[key])));
    return { words: Math.min(...of("h1, p, th, td, .names button", "color"), ...of("[data-plot] text", "fill")),
             lines: Math.min(...of(".scatterlayer .js-line:not([style*='stroke-width: 0'])", "stroke")) };
}"""

SHOW_SCRIPT = """async (query) => {
    document.querySelector(query).scrollIntoView({ block: "center" });
    for (let before = null; before !== scrollY; await new Promise((done) => setTimeout(done, 100))) before = scrollY;
}"""


@pytest.fixture(scope="module")
def page_file(real, tmp_path_factory):
    """The page of three variants with long names, two seeds each."""
    folder = tmp_path_factory.mktemp("phone")
    cells, text = [], (real / "config.toml").read_text().partition("\n")[2]  # without its seal
    for number, (variant, settings) in enumerate(VARIANTS.items()):
        for seed in range(2):
            name = f"{number}-{seed}"
            shutil.copytree(real, folder / name)
            changed = {line.partition(" = ")[0]: line for line in text.splitlines()}
            for key, value in {"seed": str(seed), **settings}.items():
                changed[key] = f"{key} = {value}"
            lines = [changed[line.partition(" = ")[0]] for line in text.splitlines()]
            (folder / name / "config.toml").write_text("\n".join(lines) + "\n")
            cells.append({"folder": name, "variant": variant})
            if "freeze_at" in settings:
                summary = json.loads((real / "summary.json").read_text())
                summary["freeze"] = dict.fromkeys(summary["freeze"])
                (folder / name / "summary.json").write_text(json.dumps(summary))
    (folder / "sweep.json").write_text(json.dumps({"preset": None, "scale": 1.0, "cells": cells}))
    write.write([folder], folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="module")
def opened(page_file):
    """The page on a device in a scheme, opened once; in the end nothing may have been asked of the network."""
    pages, troubles = {}, []
    with chromium.opened() as browser:

        def show(device, scheme="light"):
            if (device, scheme) not in pages:
                context = browser.new_context(**DEVICES[device], color_scheme=scheme)
                context.set_default_timeout(20_000)
                page = pages[device, scheme] = context.new_page()
                page.on("request", lambda request: troubles.append(request.url))
                page.on("pageerror", lambda error: troubles.append(f"error {error}"))
                page.goto(page_file.as_uri())
                for name in PLOTS:
                    page.wait_for_selector(f'[data-plot="{name}"] .main-svg')
            return pages[device, scheme]

        yield show
    assert {trouble for trouble in troubles if not trouble.startswith(("data:", "blob:"))} == {page_file.as_uri()}


@pytest.fixture
def phone(opened):
    return opened("phone")


def middle(page, query):
    """The middle of an element, once it is about in the middle of the screen and nothing scrolls any more."""
    page.evaluate(SHOW_SCRIPT, query)
    box = page.locator(query).first.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def ranges(page):
    """What each plot shows of its axes."""
    return page.evaluate(
        "[...document.querySelectorAll('[data-plot]')].map(({ layout }) => [layout.xaxis.range, layout.yaxis.range])"
    )


def zoom_by_mouse(page):
    x, y = middle(page, f"{SCORES} .nsewdrag")
    page.mouse.move(x - 60, y - 60)
    page.mouse.down()
    page.mouse.move(x + 60, y + 60, steps=4)
    page.mouse.up()
    return x, y


PAGES = [(device, scheme) for device in DEVICES for scheme in ("light", "dark")]


@pytest.mark.parametrize(("device", "scheme"), quick(PAGES, ("phone", "dark"), ("desktop", "light")))
def test_all_is_seen_and_nothing_covers_it(opened, device, scheme):
    page = opened(device, scheme)
    assert page.evaluate(OUTSIDE) == [0]
    assert page.evaluate(COVERED) == 0
    assert page.locator(".names button").count() == len(VARIANTS) + 6 + 2 + 2  # of scores, ledger, speed, reaching
    contrast = page.evaluate(CONTRASTS)
    assert contrast["words"] >= 4.5  # WCAG 2.2, 1.4.3
    assert contrast["lines"] >= 3  # 1.4.11


@pytest.mark.parametrize("device", DEVICES)
def test_no_chart_has_a_toolbar_to_upload_it_with(opened, device):
    page = opened(device)
    for name in PLOTS:
        page.mouse.move(*middle(page, f'[data-plot="{name}"]'))
        assert page.locator(".modebar, .modebar-btn").count() == 0


@pytest.mark.parametrize("name", quick(PLOTS, "rows"))
def test_a_swipe_over_a_chart_scrolls_the_page(phone, name):
    x, y = middle(phone, f'[data-plot="{name}"]')
    before, seen = phone.evaluate("scrollY"), ranges(phone)
    finger = phone.context.new_cdp_session(phone)
    finger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for moved in [*range(20, 201, 20), *[200] * 10]:  # at rest in the end, or the page would roll on
        finger.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x, "y": y - moved}]})
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    phone.wait_for_function(f"scrollY > {before + 100}")
    assert ranges(phone) == seen


def test_a_double_tap_resets_a_chart(phone):
    """Of a device with a mouse and a touch screen: fingers cannot zoom into a chart."""
    seen = ranges(phone)
    x, y = zoom_by_mouse(phone)
    assert ranges(phone) != seen
    for _ in range(10):  # where the machine is busy two taps may come too far apart
        phone.touchscreen.tap(x, y)
        phone.touchscreen.tap(x, y)
        phone.wait_for_timeout(600)  # the next tap begins anew
        if ranges(phone) == seen:
            break
    assert ranges(phone) == seen


def test_a_tap_shows_a_point(phone):
    from playwright.sync_api import TimeoutError

    for _ in range(4):  # one that comes while the page still moves shows nothing
        phone.touchscreen.tap(*middle(phone, f"{MEMORY} .scatterlayer .point"))
        with suppress(TimeoutError):
            phone.wait_for_selector(f"{MEMORY} .hovertext", timeout=5000)
            break
    box = phone.locator(f"{MEMORY} .hovertext").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390


def test_a_mouse_zooms_and_resets(opened):
    page = opened("desktop")
    seen = ranges(page)
    x, y = zoom_by_mouse(page)
    assert ranges(page) != seen
    page.mouse.dblclick(x, y)
    assert ranges(page) == seen


def test_a_name_hides_its_lines_everywhere_and_comes_alone(opened):
    page = opened("desktop")
    names = page.locator(f".names:has(+ {SCORES}) button")

    def quick(plot="scores"):
        query = f"""document.querySelector('[data-plot="{plot}"]').data"""
        groups = page.evaluate(f"{query}.filter((trace) => trace.visible).map((trace) => trace.legendgroup)")
        return set(groups)

    assert names.all_text_contents() == [f"{name} (2 seeds)" for name in VARIANTS]
    names.first.click()
    assert quick() == quick("rows") == quick("memory") == {"v1", "v2"}
    assert names.first.get_attribute("aria-pressed") == "false"
    page.click("#theme")
    assert quick() == {"v1", "v2"}
    page.click("#theme")
    names.last.dblclick()
    assert quick() == {"v2"}
    names.last.dblclick()
    assert quick() == {"v0", "v1", "v2"}


def shade(page, table):
    """By how much, of 255, a small square within a table's right edge differs from the page."""
    box = table.bounding_box()
    clip = {"x": box["x"] + box["width"] - 6, "y": box["y"] + box["height"] - 6, "width": 3, "height": 3}
    square = Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    return max(abs(ours - its) for _, colour in square.getcolors() for ours, its in zip(colour, paper, strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_table_scrolls_within_itself_and_shows_that_it_goes_on(opened, scheme):
    page = opened("phone", scheme)
    table = page.locator(".scroll").first
    middle(page, ".scroll")
    hidden = table.evaluate("place => place.scrollWidth - place.clientWidth")
    assert hidden > 0
    assert shade(page, table) > 20
    name = table.locator("tbody th").first
    at = name.bounding_box()["x"]
    assert name.bounding_box()["width"] < 390 / 2
    table.evaluate(f"place => {{ place.scrollLeft = {hidden} }}")
    assert shade(page, table) <= 2  # of rounding
    assert name.bounding_box()["x"] == at
    assert page.evaluate("[scrollX, document.documentElement.scrollWidth]") == [0, 390]


def test_fingers_find_what_they_touch(phone):
    sizes = phone.evaluate(
        "[...document.querySelectorAll('button, select, label')].map((place) => place.getBoundingClientRect().height)"
    )
    assert min(sizes) >= 36
