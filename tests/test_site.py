"""The site's pages: complete, two clicks from a newcomer's questions, and as `make docs` built them, in Chromium."""

import os
import re
import subprocess
import sys
from pathlib import Path

import chromium
import numpy as np
import pytest
import yaml

import edgerl
import edgerl_run
from edgerl.replay.buffer import row_dtype
from edgerl.replay.representation import pixel_field

ROOT = Path(__file__).parents[1]
DOCS, SITE = ROOT / "docs", ROOT / "site"
ELSEWHERE = ["index.md", "contributing.md", "changelog.md", "security.md", "edgerl-run.md", "tour.md"]  # not in docs/
# What a newcomer asks, the page that answers in full, and what stands there as well as in the short answer.
QUESTIONS = {
    "How much memory does it take?": ("budgets.md", "edgerl plan"),
    "Which board can it run on?": ("devices.md", "edgerl devices"),
    "How long does a run take?": ("planning.md", "--device jetson_nano --device pi_zero_2_w"),
    "How do I stop and go on?": ("training.md", "bit for bit"),
    "How do I train on my own environment?": ("environments.md", "edgerl train --env mine:make"),
    "How do I get the policy out?": ("deploy.md", "--out policy.onnx"),
    "What if the power fails?": ("reliability.md", "passed over"),
    "How do I compare runs?": ("sweeps.md", "--seeds 5"),
    "How do I change the encoder?": ("training.md", "def small_encoder():"),
    "How do I cite it?": ("../CITATION.cff", "Improving Computational Efficiency in Visual Reinforcement Learning"),
}
DEVICES = {"phone": {"width": 390, "height": 844}, "desktop": {"width": 1280, "height": 900}}
OVERFLOW = "document.documentElement.scrollWidth - innerWidth"
CONTRAST = """() => {
    const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((value) => value / 255)
        .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
        .reduce((sum, value, at) => sum + value * [0.2126, 0.7152, 0.0722][at], 0.05);
    const paper = parts(getComputedStyle(document.body).backgroundColor).slice(0, 3);
    const contrast = (colour) => {
        const [r, g, b, opaque = 1] = parts(colour);
        const ink = [r, g, b].map((value, at) => value * opaque + paper[at] * (1 - opaque));
        return Math.max(light(ink), light(paper)) / Math.min(light(ink), light(paper));
    };
    const words = document.querySelectorAll("article :is(h1, h2, p, td, th, li, p a, td a, li a)");
    return Math.min(...[...words].map((word) => contrast(getComputedStyle(word).color)));
}"""


def navigation():
    """The files of the pages in the site's navigation."""
    pages, waiting = [], list(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    while waiting:
        (inner,) = waiting.pop().values()
        if isinstance(inner, str):
            pages.append(inner)
        else:
            waiting += inner
    return pages


def typed(page):
    """The commands of a page's indented blocks that begin with one, and its Python file."""
    text = (DOCS / page).read_text(encoding="utf-8")
    commands = re.findall(r"^    ((?:edgerl|python) .*)$", text, re.MULTILINE)
    return commands, re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]


def test_every_page_is_in_the_navigation_once():
    assert sorted(navigation()) == sorted([*(page.name for page in DOCS.glob("*.md")), *ELSEWHERE])


def test_the_api_page_has_the_public_names():
    names = re.findall(r"^::: ([\w.]+)$", (DOCS / "api.md").read_text(encoding="utf-8"), re.MULTILINE)
    public = {f"{module.__name__}.{name}" for module in (edgerl, edgerl_run) for name in module.__all__}
    assert sorted(names) == sorted(public | {"edgerl.training.policy.Policy"})


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_newcomer_is_answered_within_two_clicks(question):
    assert "questions.md" in navigation()  # the first click, from any page
    page, words = QUESTIONS[question]
    sections = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", (DOCS / "questions.md").read_text(), re.DOTALL | re.M))
    assert list(sections) == list(QUESTIONS)
    assert words in sections[question].replace("\n> ", " ")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", sections[question])]
    assert page in links  # the second click
    assert words in (DOCS / page).read_text(encoding="utf-8")


def test_the_byte_is_where_its_page_says():
    def row_and_offset(field, byte):
        row = row_dtype(field, np.dtype(np.uint8))
        slot, within = divmod(byte, row.itemsize)
        return row.itemsize, slot, within - row.fields["obs"][1]

    byte = 7_067_576
    size, slot, offset = row_and_offset(pixel_field((84, 84)), byte)
    assert (size, slot, divmod(offset, 84)) == (7_064, 1_000, (42, 42))
    size, slot, offset = row_and_offset(("obs", np.float32, (576,)), byte)
    assert (size, slot, divmod(offset, 4)) == (2_312, 3_056, (524, 2))
    said = (DOCS / "how-it-works.md").read_text(encoding="utf-8") + (DOCS / "life-of-a-byte.svg").read_text()
    for words in ("7,067,576", "slot 1,000", "row 42, column 42", "slot 3,056", "number 524"):
        assert words in said


@pytest.mark.long
def test_the_first_page_as_typed(tmp_path):
    commands, play = typed("start.md")
    assert [command.split()[1] for command in commands] == ["train", "eval", "export", "play.py"]
    (tmp_path / "play.py").write_text(play, encoding="utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command in commands:
        done = subprocess.run(  # noqa: S602
            command,
            shell=True,
            cwd=tmp_path,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert done.stdout == "caught 20 of 20\n"


@pytest.fixture(scope="module")
def built():
    """The site that `make docs` built, if it is newer than what it was built of."""
    sources = [ROOT / "README.md", ROOT / "mkdocs.yml", ROOT / "tools/site_pages.py", *DOCS.rglob("*")]
    newest = max(source.stat().st_mtime for source in sources)
    if not (SITE / "index.html").exists() or (SITE / "index.html").stat().st_mtime < newest:
        pytest.skip("no site of these pages here: make docs")
    return SITE


@pytest.fixture(scope="module")
def browser(built):
    with chromium.opened() as browser:
        yield browser


@chromium.needed
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", DEVICES)
def test_pages_fit_are_legible_and_ask_nothing_of_the_network(browser, built, device, scheme):
    context = browser.new_context(viewport=DEVICES[device], color_scheme=scheme)
    page, asked = context.new_page(), set()
    page.on("request", lambda request: asked.add(request.url.partition(":")[0]))
    page.on("pageerror", lambda error: asked.add(f"error {error}"))
    for name in ("index", "how-it-works", "questions", "api", "settings", "results"):
        page.goto((built / f"{name}.html").as_uri())
        assert page.evaluate(OVERFLOW) <= 0, name
        assert page.evaluate(CONTRAST) >= 4.5, name
        assert page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth)"), name
    context.close()
    assert asked <= {"file", "data", "blob"}


@chromium.needed
def test_the_search_works_from_a_disk(browser, built):
    page, asked = browser.new_page(viewport=DEVICES["desktop"]), set()
    page.on("request", lambda request: asked.add(request.url.partition(":")[0]))
    page.goto((built / "index.html").as_uri())
    page.fill("input[name=query]", "canonical correlations")
    page.wait_for_selector(".md-search-result__link", timeout=chromium.PATIENCE)
    links = page.locator(".md-search-result__link").evaluate_all("links => links.map((link) => link.href)")
    assert any("analysis.html" in link for link in links)
    assert asked <= {"file", "data", "blob"}
