"""The report's page in headless Chromium: it draws, it asks nothing of the network, and it fits a phone."""

import base64
import json
import shutil
from pathlib import Path

import chromium
import pytest

from edgerl import configure
from edgerl.experiments.reports import write
from edgerl.experiments.reports.formats.style import COLOURS
from edgerl.training import train

pytestmark = chromium.needed
HOSTILE = "</script><script>window.broken = 1</script><b>bold</b>"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAABCAAAAADRSSBWAAAAC0lEQVR4nGNo+A8AAgIBgG5WixMAAAAASUVORK5CYII="  # 2 x 1
PLOTS = ("scores", "rows", "memory", "ledger", "speed", "reaching", "layers", "attention")


def analysed(folder):
    """What `edgerl analyze` leaves in a run folder, with a layer whose name would break a careless page."""
    scores = [{"from": step, "to": step + 100, "score": 0.9 + step / 4000} for step in (0, 100, 200)]
    layer = {"part": "stem", "neurons": 32, "datapoints": 640, "untrained": 0.71}
    found = {
        "run": {"env": "toy/catch", "algo": "rainbow", "seed": 0},
        "frozen_at": 300,
        "observations": {
            "played_by_step": 400,
            "random_actions": 0.2,
            "windows": 200,
            "episodes": 30,
            "crops": 1,
        },
        "gap": 100,
        "layers": [layer | {"name": "conv1", "scores": scores}, layer | {"name": HOSTILE, "scores": scores[:2]}],
        "attention": {
            "layer": "conv1",
            "moved": [{"from": 0, "to": 100, "moved": 0.2}, {"from": 100, "to": 200, "moved": 0.02}],
        },
        "rule": {"similarity": 0.9, "movement": 0.1},
        "safe": {"step": 100, "known": True, "text": f"A freeze would have been safe {HOSTILE}"},
        "notes": ["passed over: a snapshot"],
    }
    (folder / "analysis.json").write_text(json.dumps(found))
    (folder / "attention.png").write_bytes(base64.b64decode(PNG))


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """The page of three seeds of one variant and one of another, whose name would break a careless page."""
    folder = tmp_path_factory.mktemp("page")
    settings = {"env": "toy/catch", "budget": 3_000_000, "threads": 1, "steps": 400, "freeze_at": 300}
    settings |= {"eval_every": 100, "eval_episodes": 2, "checkpoint_every": 0}
    train.train(configure(**settings), folder / "s0", quiet=True)
    cells = [{"folder": "s0", "variant": HOSTILE}]
    text = (folder / "s0/config.toml").read_text().partition("\n")[2]  # without its seal
    for name, old, new in (
        ("s1", "seed = 0", "seed = 1"),
        ("s2", "seed = 0", "seed = 2"),
        ("never", "freeze_at = 300", 'freeze_at = "never"'),
    ):
        shutil.copytree(folder / "s0", folder / name)
        assert old in text
        (folder / name / "config.toml").write_text(text.replace(old, new))
        cells.append({"folder": name, "variant": "never frozen" if name == "never" else HOSTILE})
    summary = json.loads((folder / "never/summary.json").read_text())
    summary["freeze"] = dict.fromkeys(summary["freeze"])
    summary["budget"]["ledger"]["environments"] = {"planned": 10**6, "measured": 2 * 10**6}
    (folder / "never/summary.json").write_text(json.dumps(summary))
    cells.append({"folder": "missing", "variant": "never frozen"})
    (folder / "sweep.json").write_text(json.dumps({"preset": None, "scale": 1.0, "cells": cells}))
    analysed(folder / "s0")
    write.write([folder], folder / "report.html")
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser():
    with chromium.opened() as opened_browser:
        yield opened_browser


@pytest.fixture
def opened(browser, page_file):
    """Open a page at a width; afterwards nothing may have been complained about or asked of the network."""
    contexts, troubles, files = [], [], set()

    def noticed(request):
        if request.url not in files and not request.url.startswith(("data:", "blob:")):
            troubles.append(f"request {request.url}")

    def complained(message):
        if message.type in ("error", "warning"):
            troubles.append(f"console {message.text}")

    def show(width=1280, scheme="light", file=page_file, plots=PLOTS):
        files.add(file.as_uri())
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        context.set_default_timeout(chromium.PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("request", noticed)
        page.on("console", complained)
        page.on("pageerror", lambda error: troubles.append(f"error {error}"))
        page.goto(file.as_uri())
        for name in plots:
            page.wait_for_selector(f'[data-plot="{name}"] .main-svg')
        return page

    yield show
    for context in contexts:
        context.close()
    assert troubles == []


def test_the_page_draws_everything_from_its_own_file(opened, page_file):
    page = opened()
    assert page.locator("[data-plot] .plot-container").count() == len(PLOTS)
    assert page.locator("table").count() == 6  # scores, multiply-adds, cost, layers, versions, what was left out
    assert page.locator('[data-plot="scores"] .scatterlayer .trace').count() >= 2
    assert page.locator('[data-plot="scores"] .shapelayer path').count() == 1  # T_f of the frozen variant
    assert page.get_by_text("missing", exact=False).count() >= 1
    assert page.evaluate("window.broken") is None
    assert page.locator("b").count() == 0
    assert HOSTILE in page.locator("tbody th").first.text_content()
    assert "<b>bold</b>" in "".join(page.locator('.names:has(+ [data-plot="scores"]) button').all_text_contents())
    assert page_file.stat().st_size < 6_000_000


def test_the_page_shows_every_line_of_every_ledger_in_the_pictures_colours(opened):
    page = opened()
    found = page.evaluate("""document.querySelector('[data-plot="ledger"]').data.map((each) => each.name)""")
    assert set(found) >= {"libraries", "replay", "unaccounted", "environments"}
    lines = page.evaluate("""document.querySelector('[data-plot="scores"]').data.map((each) => each.line?.color)""")
    assert [line for line in lines if line in COLOURS] == COLOURS[:2]


def test_an_analysed_run_has_its_layers_and_its_attention(opened):
    page = opened()
    assert page.locator('[data-plot="layers"] .scatterlayer .trace').count() == 4  # two layers, and untrained ones
    assert page.locator('[data-plot="layers"] .shapelayer path').count() == 3  # the rule's bound, T_f, and settled
    assert page.locator('[data-plot="attention"] .scatterlayer .trace').count() == 1
    assert page.locator("img.strip").evaluate("each => each.complete && each.naturalWidth") == 2
    assert page.get_by_text("A freeze would have been safe </script>").count() == 1
    assert page.get_by_text("Passed over: a snapshot.").count() == 1


def test_the_axis_and_the_statistic_can_be_chosen(opened):
    page = opened()
    plot = '[data-plot="scores"]'
    title = page.locator(f"{plot} .xtitle")
    assert title.text_content() == "agent steps"
    for axis, words in (
        ("flops", "multiply-adds"),
        ("minutes", "wall time, minutes"),
        ("env_steps", "environment steps"),
    ):
        page.select_option('[data-choose="axis"]', axis)
        page.wait_for_function(f"document.querySelector('{plot} .xtitle').textContent === '{words}'")
    traces = page.evaluate(f"document.querySelector('{plot}').data.length")
    page.uncheck('[data-choose="seeds"]')
    page.wait_for_function(f"document.querySelector('{plot}').data.length < {traces}")
    page.select_option('[data-choose="statistic"]', "iqm")


@pytest.mark.parametrize(
    ("scores", "drawn", "named"),
    [
        ((500, 7000), 2, ["random play 163.9", "human tester 13,455 ↑"]),
        pytest.param((500, 14000), 3, ["random play 163.9", "human tester 13,455"], marks=pytest.mark.long),
    ],
)
def test_random_play_and_a_human_stand_beside_the_curves(opened, another, tmp_path, scores, drawn, named):
    run = another("run", scores, settings={"env": "atari/qbert"})
    write.write([run], tmp_path / "report.html")
    page = opened(file=tmp_path / "report.html", plots=("scores",))
    plot = '[data-plot="scores"]'
    assert page.locator(f"{plot} .shapelayer path").count() == drawn  # T_f, random play, and a human within reach
    assert page.locator(f"{plot} .annotation-text").all_text_contents() == named
    low, high = page.evaluate(f"document.querySelector('{plot}').layout.yaxis.range")
    assert low < 163.9
    assert high > (13455 if drawn == 3 else scores[-1])


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.long)])
def test_the_page_follows_the_readers_scheme_and_can_be_turned(opened, scheme):
    page = opened(scheme=scheme)

    def seen():
        return page.evaluate(
            "[document.documentElement.dataset.theme, getComputedStyle(document.body).backgroundColor]"
        )

    assert seen()[0] == scheme
    before = seen()
    page.click("#theme")
    after = seen()
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_the_page_fits_a_phone(opened):
    page = opened(width=360)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for name in PLOTS:
        box = page.locator(f'[data-plot="{name}"] .main-svg').first.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360


def test_the_page_names_no_other_file(page_file):
    text = Path(page_file).read_text()
    head = text[: text.index("<style>")] + text[text.index("</style>") : text.index("<script")]
    assert "http" not in head
    assert head.count("src=") == head.count('src="data:image/png;base64,') == 1
