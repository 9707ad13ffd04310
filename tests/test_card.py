"""A run's card: what is in the folder, that what it says is true, and that a hub can read it."""

import json
import tomllib
from dataclasses import replace

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import edgerl
import edgerl_run
from edgerl.experiments.card import contents, readme
from edgerl.experiments.card.card import Options, make
from edgerl.experiments.card.front_matter import front_matter, quoted
from edgerl.experiments.card.markdown import block, code, escaped
from edgerl.experiments.export import export as exporting
from edgerl.experiments.reports.repeat import command
from edgerl.output.messages import figure
from edgerl.training.evaluate import Games, evaluate
from edgerl.training.policy import Policy

CATCH = {"env": "toy/catch", "budget": "1.5MB", "threads": 1, "steps": 120, "learn_start": 30, "hidden": 8}
CATCH |= {"batch_size": 4, "eval_every": 60, "eval_episodes": 3, "checkpoint_every": 60, "freeze_at": 80}
FILMS = {"replay.gif", "replay.mp4"}
FILES = {"README.md", "config.toml", "policy.onnx", "scores.json"} | FILMS


@pytest.fixture(scope="module")
def run(uninterrupted):
    """The folder of a run. To be read only."""
    return uninterrupted(edgerl.configure(**CATCH))


@pytest.fixture(scope="module")
def made(run, tmp_path_factory):
    """A card's folder and what its page is made of. To be read only."""
    out = tmp_path_factory.mktemp("made") / "card"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "WINDOWS", 40)
        return out, make(run, out, Options(episodes=4, seed=7))


def parts(text):
    """The front matter of a page, as a hub reads it, and the page itself."""
    before, matter, page = text.split("---\n", 2)
    assert before == ""
    return yaml.safe_load(matter), page


def test_the_folder_holds_the_policy_the_settings_and_the_films(run, made):
    out, _ = made
    assert {file.name for file in out.iterdir()} == FILES
    assert edgerl_run.Player(out / "policy.onnx").about["env"] == "toy/catch"
    assert (out / "config.toml").read_bytes() == (run / "config.toml").read_bytes()
    with Image.open(out / "replay.gif") as film:
        assert film.n_frames == 7  # a game of toy/catch: its reset and six steps
    assert (out / "replay.mp4").read_bytes()[4:8] == b"ftyp"


def test_the_page_says_what_the_run_took(run):
    told = dict(contents.facts(json.loads((run / "summary.json").read_text())).lines)
    assert told.keys() >= {"run", "replay", "freeze", "capacity", "speed", "memory", "multiply-adds"}
    assert told["multiply-adds"].split()[1] == "multiply-adds"


def test_the_scores_are_those_of_eval_and_of_the_run_and_their_seeds_give_them_again(run, made, program):
    out, contents = made
    scores = json.loads((out / "scores.json").read_text())
    assert scores == contents.scores
    played = scores["evaluation"]
    assert (played["step"], played["seed"], played["episodes"], len(played["scores"])) == (120, 7, 4, 4)
    text = program("eval", run, "--episodes", 4, "--seed", 7)[1]
    assert f"score {figure(played['mean'])} +- {figure(played['std'])} ({figure(played['min'])} to " in text
    returns = json.loads((run / "summary.json").read_text())["returns"]
    assert [result["scores"] for result in scores["during_training"]] == [result["scores"] for result in returns]
    assert [result["step"] for result in scores["during_training"]] == [60, 120]
    last, policy = scores["during_training"][-1], Policy(run)
    rng = np.random.default_rng(last["seed"])
    games = Games(last["episodes"], last["random_actions"], rng)
    again = evaluate(policy.agent, policy.representation, edgerl.make_env("toy/catch", rng), games)
    assert again.scores == last["scores"]


def test_random_play_is_played_where_no_score_of_it_is_published(made):
    at_random = made[1].scores["random_play"]
    assert (at_random["step"], at_random["random_actions"], len(at_random["scores"])) == (None, 1.0, 4)
    assert made[1].scores["references"] is None


def test_a_hub_reads_what_it_is_and_its_score(made):
    matter, _ = parts((made[0] / "README.md").read_text())
    played = made[1].scores["evaluation"]
    (model,) = matter.pop("model-index")
    assert matter.pop("tags") == ["reinforcement-learning", "deep-reinforcement-learning", "toy/catch", "rainbow",
                                  "edgerl", "onnx"]  # fmt: skip
    assert matter == {"library_name": "edgerl", "license": "other", "pipeline_tag": "reinforcement-learning"}
    assert model["name"] == "rainbow on toy/catch"
    (result,) = model["results"]
    assert result["task"]["type"] == "reinforcement-learning"
    assert result["dataset"] == {"type": "toy/catch", "name": "toy/catch"}
    (metric,) = result["metrics"]
    assert metric["value"] == f"{played['mean']:.2f} +/- {played['std']:.2f}"
    assert (metric["type"], metric["verified"]) == ("mean_reward", False)


def test_the_page_says_how_to_run_and_repeat_it_and_links_every_file(run, made):
    _, page = parts((made[0] / "README.md").read_text())
    assert "![The first game of the evaluation](replay.gif)" in page
    assert all(f"]({name})" in page for name in FILES - {"README.md"})
    assert "python -m edgerl_run policy.onnx" in page
    assert "gray, 84x84 pixels" in page
    assert "`left`, `stay`, `right`" in page
    assert f"```sh\n{command(Policy(run).config)}\n```" in page
    assert "| freeze | at step 80 in " in page
    assert "| memory | " in page
    assert f"numpy {np.__version__}" in page
    assert "compared over 40 windows" in page


def with_mean(contents, mean, **changes):
    evaluation = contents.scores["evaluation"] | {"mean": mean}
    return replace(contents, scores=contents.scores | {"evaluation": evaluation} | changes)


@pytest.mark.parametrize(("mean", "is_below"), [(-2.0, True), (1.0, False)])
def test_a_score_below_random_play_is_said(mean, is_below, made):
    page = readme.text(with_mean(made[1], mean))
    assert ("below that of random play" in page) == is_below


@pytest.mark.parametrize(("mean", "is_below"), [(163.0, True), (1494.1, False)])
def test_published_scores_stand_beside_its_own(mean, is_below, made):
    published = {"random": 163.9, "human": 13455.0, "source": "Wang et al. 2016"}
    page = readme.text(with_mean(made[1], mean, env="atari/qbert", references=published, random_play=None))
    assert "| random play, published |  | 163.9 |" in page
    assert "| a human tester, published |  | 13,455.0 |" in page
    assert ("below that of random play" in page) == is_below
    assert ("Human-normalised the score is 0.100" in page) != is_below


def test_an_environment_of_gymnasium_is_played_by_the_runner_and_vectors_have_bounds(made):
    contents = made[1]
    run = replace(contents.config.run, env="gym/Pendulum-v1", eval_epsilon=0.0)
    action = {"kind": "continuous", "size": 2, "low": [-2.0, 0.0], "high": [2.0, 1.0]}
    frame = {"height": 84, "width": 84, "colour": "rgb", "resize": "area", "stored": [100, 100]}
    about = contents.about | {"action": action, "frame": frame}
    page = readme.text(replace(contents, config=replace(contents.config, run=run), about=about))
    assert "python -m edgerl_run policy.onnx --env gym:Pendulum-v1 --episodes 4 --seed 7" in page
    assert "2 numbers, -2 to 2, 0 to 1" in page
    assert "RGB, 100x100 pixels, resized by averaging areas, of which it sees the middle, 84x84" in page


def test_many_evaluations_are_ten_lines_with_the_first_and_the_last(made):
    one = made[1].scores["during_training"][0]
    many = [one | {"step": step} for step in range(1000, 54000, 1000)]
    page = readme.text(replace(made[1], scores=made[1].scores | {"during_training": many}))
    steps = [line.split(" |")[0] for line in page.splitlines() if line.startswith("|") and ",000 |" in line]
    assert len(steps) == 10
    assert (steps[0], steps[-1]) == ("| 1,000", "| 53,000")


@given(st.text())
def test_any_text_is_a_yaml_string_on_one_line(text):
    line = quoted(text)
    assert yaml.safe_load(f"- key: {line}\n") == [{"key": text}]
    assert len(line.splitlines()) == 1


@pytest.mark.parametrize(
    "name", ['a: "b" # c', "yes", "- x", "line\nline", "\u2028\x85\x7f\ufeff", "\U0001f600", "'{}'"]
)
def test_names_of_users_break_no_front_matter(name):
    evaluation = {"mean": -0.5, "std": 1.25}
    (model,) = yaml.safe_load(front_matter(name, name, evaluation, "mit").strip("-\n"))["model-index"]
    assert model["results"][0]["dataset"] == {"type": name, "name": name}
    assert model["results"][0]["metrics"][0]["value"] == "-0.50 +/- 1.25"


def test_texts_break_no_markdown():
    assert escaped("a_b|c*\nd") == r"a\_b\|c\* d"
    assert code("a`b``c") == "``` a`b``c ```"
    assert block("x ``` y", "sh") == "````sh\nx ``` y\n````"


def test_without_films_and_with_a_licence(run, tmp_path, program, monkeypatch):
    monkeypatch.setattr(exporting, "WINDOWS", 40)
    out = tmp_path / "my card"
    code, text, errors = program("card", run, "--out", out, "--no-video", "--license", "mit", "--episodes", 2)
    assert (code, errors) == (0, [])
    assert text.splitlines()[0] == f"toy/catch, rainbow, step 120: {out}"
    assert text.splitlines()[-1] == (
        f"nothing was uploaded; with Hugging Face's program: hf upload YOUR_NAME/rainbow-toy-catch '{out}' ."
    )
    assert {file.name for file in out.iterdir()} == FILES - FILMS
    matter, page = parts((out / "README.md").read_text())
    assert matter["license"] == "mit"
    assert not any(name in page for name in FILMS)


def test_from_python_it_returns_the_scores_and_force_writes_over_a_card(run, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "WINDOWS", 40)
    out = tmp_path / "card"
    first = edgerl.card(run, out, episodes=1, film=False)
    assert first["evaluation"]["episodes"] == 1
    scores = edgerl.card(run, out, episodes=2, film=False, force=True)
    assert json.loads((out / "scores.json").read_text()) == scores
    assert scores["evaluation"]["episodes"] == 2
    assert [file.name for file in tmp_path.iterdir()] == ["card"]
    assert tomllib.loads((out / "config.toml").read_text())["run"]["env"] == "toy/catch"
