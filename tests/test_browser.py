"""examples/browser: an exported policy plays in Chromium, by edgerl's rules and to the runner's values."""

import base64
import functools
import json
import shutil
import subprocess
import tarfile
import threading
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import chromium
import numpy as np
import policies
import pytest

from edgerl.envs.toy import SPEC, Catch
from edgerl_run import Player

pytestmark = chromium.needed
EXAMPLE = Path(__file__).parents[1] / "examples/browser"
POLICY = EXAMPLE / "policy.onnx"
PACKAGE = "node_modules/onnxruntime-web"
FETCHED = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")  # all that the page takes of the package
UNREACHED = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "TIMEOUT")
LOCAL = ("http://127.0.0.1:", "data:")
STEPS = 6  # a game
PLAY_SCRIPT = """async (games) => {
    const { Catch } = await import("./catch.js");
    const game = new Catch();
    return games.map(([column, actions]) => {
        game.reset(column);
        const seen = () => [btoa(String.fromCharCode(...game.window)), game.reward, game.done];
        return [seen(), ...actions.map((action) => { game.step(action); return seen(); })];
    });
}"""
ACT_SCRIPT = """async (windows) => {
    const { Policy } = await import("./policy.js");
    const policy = await Policy.load("policy.onnx");
    const acts = [];
    for (const text of windows) acts.push(await policy.act(Uint8Array.from(atob(text), (byte) => byte.charCodeAt(0))));
    return { about: policy.about, acts };
}"""

SHOWN_SCRIPT = """() => {
    const text = (query) => [...document.querySelectorAll(query)].map((place) => place.textContent);
    const pixels = document.querySelector("#board").getContext("2d").getImageData(0, 0, 84, 84).data;
    const cells = Array.from({ length: 49 }, (_, cell) => pixels[4 * 12 * (84 * Math.floor(cell / 7) + (cell % 7))]);
    const row = cells.includes(255) ? Math.floor(cells.indexOf(255) / 7) : 6; // a caught block is behind the paddle
    return { values: text(".value"), chosen: text(".chosen .meaning")[0], row, paddle: cells.indexOf(160) % 7 };
}"""


def version():
    """The pinned version of onnxruntime-web."""
    return json.loads((EXAMPLE / "package.json").read_text())["dependencies"]["onnxruntime-web"]


def fetch(folder):
    """Put into the folder what the page takes of onnxruntime-web; skips the test where npm cannot fetch it."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm here: apt-get install npm")
    command = [npm, "pack", f"onnxruntime-web@{version()}", "--fetch-retries=0", f"--pack-destination={folder}"]
    packed = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if any(code in packed.stderr for code in UNREACHED):
        pytest.skip("npm does not reach its registry, and examples/browser/node_modules is not there")
    assert packed.returncode == 0, packed.stderr
    (archive,) = folder.glob("*.tgz")
    (folder / PACKAGE / "dist").mkdir(parents=True)
    with tarfile.open(archive) as package:
        for name in FETCHED:
            (folder / PACKAGE / "dist" / name).write_bytes(package.extractfile(f"package/dist/{name}").read())
    archive.unlink()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The example with its package: as `npm install` left it here, or a copy with what npm fetches now."""
    installed = EXAMPLE / PACKAGE / "package.json"
    if installed.exists() and json.loads(installed.read_text())["version"] == version():
        return EXAMPLE
    copy = tmp_path_factory.mktemp("browser") / "example"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("node_modules"))
    fetch(copy)
    return copy


class QuietHandler(SimpleHTTPRequestHandler):
    """What `python -m http.server` answers, without its log."""

    def log_message(self, *_):
        pass


@contextmanager
def served(folder):
    """The address at which the folder is served, as `python -m http.server` does it."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def address(folder):
    with served(folder) as its_address:
        yield its_address


@pytest.fixture(scope="module")
def browser():
    with chromium.opened() as opened_browser:
        yield opened_browser


@pytest.fixture(scope="module")
def open_page(browser):
    """Open an address that is served; in the end nothing may have gone wrong or been asked of another server."""
    troubles = []

    def show(address):
        page = browser.new_page(reduced_motion="reduce")  # for which the example begins paused
        page.set_default_timeout(chromium.PATIENCE)
        page.on("pageerror", lambda error: troubles.append(f"error {error}"))
        page.on("request", lambda request: request.url.startswith(LOCAL) or troubles.append(request.url))
        page.goto(address)
        return page

    yield show
    assert troubles == []


@pytest.fixture(scope="module")
def page(open_page, address):
    """The example, opened once: to load WebAssembly takes seconds where a machine is busy."""
    opened = open_page(address)
    opened.wait_for_selector("main:not([hidden])")
    return opened


def scripted_games(count):
    """Games of random actions: the block's column, the actions, and [window, reward, done] of each of its 7 frames."""
    rng = np.random.default_rng(0)
    env = Catch(rng)
    games = []
    for _ in range(count):
        timesteps = [env.reset()]
        column, actions = env.state()[1]["column"], rng.integers(3, size=STEPS).tolist()
        frames = [[timesteps[0].window.copy(), 0.0, False]]
        for action in actions:
            timestep = env.step(action)
            frames.append([timestep.window.copy(), timestep.reward, timestep.terminated])
        games.append((column, actions, frames))
    return games


def test_the_rules_are_those_of_the_environment(open_page):
    games = scripted_games(40)
    assert {column for column, _, _ in games} == set(range(7))
    assert {frames[-1][1] for _, _, frames in games} == {1.0, -1.0}
    with served(EXAMPLE) as address:
        page = open_page(f"{address}package.json")  # any page of the server: the rules need no package
        played = page.evaluate(PLAY_SCRIPT, [[column, actions] for column, actions, _ in games])
    for (_, _, frames), seen in zip(games, played, strict=True):
        assert [[base64.b64decode(text), *ended] for text, *ended in seen] == [
            [window.tobytes(), *ended] for window, *ended in frames
        ]


def test_the_values_are_those_of_the_runner(page):
    windows = [window for _, _, frames in scripted_games(20) for window, _, _ in frames[:-1]]
    answer = page.evaluate(ACT_SCRIPT, [base64.b64encode(window).decode() for window in windows])
    player = Player(POLICY)
    assert answer["about"] == player.about
    for window, act in zip(windows, answer["acts"], strict=True):
        assert act["action"] == player.act_on(window)
        np.testing.assert_allclose(act["values"], player.values, rtol=0, atol=1e-4)


def games_played(page):
    """How many blocks were caught, and in how many games."""
    return np.array([int(page.text_content(f"#score .{name}")) for name in ("caught", "games")])


def test_it_catches_at_least_18_of_20(page):
    before = games_played(page)
    page.fill("#speed", "5")
    page.click("#play")
    page.wait_for_function(f"Number(document.querySelector('.games').textContent) >= {before[1] + 20}")
    page.click("#play")
    caught, games = games_played(page) - before
    assert games - caught <= 2
    assert page.locator("#history span").count() == 20
    assert page.locator("#history .caught").count() >= 18


@pytest.mark.long
def test_a_step_is_what_the_chosen_bar_says(page):
    assert page.text_content("#play") == "Play"
    columns = set()
    for _ in range(3):
        page.click("#new")
        page.wait_for_function(f"({SHOWN_SCRIPT})().row === 0")
        for row in range(1, STEPS + 1):
            before = page.evaluate(SHOWN_SCRIPT)
            values = [float(text.replace("\u2212", "-")) for text in before["values"]]
            action = ("left", "stay", "right").index(before["chosen"])
            assert values[action] == max(values)
            page.click("#step")
            page.wait_for_function(f"({SHOWN_SCRIPT})().row === {row}")
            paddle = page.evaluate(SHOWN_SCRIPT)["paddle"]
            assert paddle == min(max(before["paddle"] + action - 1, 0), 6)
            columns.add(paddle)
        assert page.get_attribute("#screen", "data-outcome") in ("caught", "missed")
    assert len(columns) > 1


def test_the_page_says_what_the_file_says(page):
    about, said = Player(POLICY).about, page.text_content("#about")
    score = about["scores"][-1]
    assert f"environment{about['env']}" in said
    assert f"{about['algo']}, for {about['steps']:,} agent steps, seed {about['seed']}" in said
    assert f"{score['mean']:.2f} ± {score['std']:.2f} over {score['episodes']} games at step {score['step']:,}" in said
    assert about["licence"] in said


@pytest.mark.long
def test_it_fits_a_phone_in_light_and_dark(page):
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    grounds = set()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(grounds) == 2


def test_what_cannot_be_played_is_said_in_one_line(open_page, address, tmp_path):
    other = policies.seeing(tmp_path / "other.onnx", policies.about(SPEC, env="gym/CartPole-v1")).read_bytes()
    newer = policies.seeing(tmp_path / "newer.onnx", policies.about(SPEC, format=2)).read_bytes()
    silent = policies.seeing(tmp_path / "silent.onnx", policies.about(SPEC), entries={}).read_bytes()
    said = {
        other: "it was trained on gym/CartPole-v1, and this page plays toy/catch",
        newer: "its format is 2; this page reads format 1",
        silent: "it is no policy that edgerl export wrote",
        POLICY.read_bytes()[:-1]: "it ends too early",
        b"<!doctype html>": "it is no ONNX file",
    }
    page, files = open_page(f"{address}package.json"), iter(said)
    page.route("**/policy.onnx", lambda route: route.fulfill(body=next(files)))
    for words in said.values():
        page.goto(address)
        page.wait_for_function("!document.querySelector('#status').textContent.startsWith('Loading')")
        assert page.text_content("#status") == f"policy.onnx cannot be played: {words}."
        assert page.is_hidden("main")


def test_without_the_package_the_page_says_what_to_type(open_page, address):
    page = open_page(f"{address}package.json")
    page.route("**/node_modules/**", lambda route: route.fulfill(status=404))
    page.goto(address)
    page.wait_for_function("document.querySelector('#status').textContent.includes('npm install')")
