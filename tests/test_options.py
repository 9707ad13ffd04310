"""Settings by preset, file, --set and option; what is wrong is named, and so is what was meant."""

import pytest

from edgerl.config import resolve
from edgerl.config.settings import SETTINGS
from edgerl.errors import ConfigError


def started(file=None, assignments=(), **given):
    return resolve.started(given, file, list(assignments))[0]


def test_later_beats_earlier(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('[run]\nenv = "toy/catch"\nsteps = 1000\nseed = 3\n[replay]\nn_step = 2\nbatch_size = 8\n')
    found = started(file, ["replay.n_step=4", "hidden=32", "budget=2MB"], env="toy/catch", seed=5)
    assert (found.run.steps, found.run.seed, found.run.budget) == (1000, 5, 2_000_000)
    assert (found.replay.n_step, found.replay.batch_size, found.agent.hidden) == (4, 8, 32)
    assert found.replay.gamma == 0.99  # the preset's


def test_a_runs_own_file_gives_the_same_run(tmp_path):
    first = started(env="toy/catch", steps=500, freeze_at="never", budget="2MB", device="jetson_nano", threads=1)
    file = tmp_path / "config.toml"
    file.write_text(first.to_toml())
    assert started(file) == first


def test_unbounded_takes_the_papers_other_freeze():
    assert started(env="atari/seaquest", budget="unbounded").run.freeze_at == 50_000
    assert started(env="atari/seaquest").run.freeze_at == 150_000


BAD_SET = {
    "replay.nstep=3": "nearest is replay.n_step",
    "gama=0.9": "nearest is gamma",
    "n_step": "key=value",
    "n_step=lots": "whole number",
    "n_step=0": "below 1",
    "gamma=nan": "not from 0 to 1",
    "learning_rate=inf": "not from 0",
    "learning_rate=true": "a number",
    "full_action_set=1": "true or false",
    "budget=3": "no unit",
    "atoms=1": "below 2",
}


@pytest.mark.parametrize("text", BAD_SET)
def test_a_bad_assignment_is_one_line_that_says_why(text):
    with pytest.raises(ConfigError, match=r"^--set: ") as caught:
        started(assignments=[text], env="toy/catch")
    assert BAD_SET[text] in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


BAD_FILE = {
    "[run]\nstep = 3": "nearest is run.steps",
    "[replai]\nn_step = 3": "nearest is replay",
    "steps = 3": "not a table",
    "[run]\nsteps = 'many'": "whole number",
    "[run]\nsteps = nan": "whole number",
    "[replay]\ngamma = nan": "not from",
    "[run": "not a run's configuration",
}


@pytest.mark.parametrize("text", BAD_FILE)
def test_a_bad_file_is_one_line_that_names_it(text, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=r"^--config: ") as caught:
        started(file, env="toy/catch")
    assert str(file) in str(caught.value)
    assert BAD_FILE[text] in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml does not exist"):
        started(tmp_path / "nowhere.toml")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"^--config: .*file is not a folder$"):
        started(tmp_path / "file" / "mine.toml")


@pytest.mark.parametrize(
    ("option", "value"), [("seed", 0), ("action_repeat", 0), ("sticky_actions", 0.0), ("paper", True)]
)
def test_a_resume_refuses_what_may_not_change_though_it_is_zero(option, value, tmp_path):
    with pytest.raises(ConfigError, match=f"--{option.replace('_', '-')}: cannot change at --resume"):
        resolve.resumed(tmp_path, {option: value})


def test_a_flag_that_was_not_given_is_no_change_at_a_resume(tmp_path):
    with pytest.raises(ConfigError, match=r"config\.toml does not exist"):
        resolve.resumed(tmp_path, {"paper": False, "set": [], "seed": None})


NEVER = [setting for setting in SETTINGS.values() if setting.optional and setting.option]


@pytest.mark.parametrize("setting", NEVER, ids=lambda setting: setting.name)
def test_every_option_of_what_may_be_missing_takes_never(setting, parsed):
    """A resume lifts a limit so, and what a file says is taken back."""
    config = parsed(["--env", "gym/CartPole-v1", "--algo", "rainbow", setting.flag, "never"])
    assert getattr(config.run, setting.name) is None


NO_NUMBER = {"process_limit": "3", "stop_at_flops": "much", "eval_max_steps": "-5", "frame_size": "8.5"}


@pytest.mark.parametrize("name", NO_NUMBER)
def test_what_is_neither_a_number_nor_never_is_refused_by_its_option(name):
    said = rf"^{SETTINGS[f'run.{name}'].flag}: '{NO_NUMBER[name]}' (has no unit|is neither a .*number nor never)"
    with pytest.raises(ConfigError, match=said):
        started(env="toy/catch", **{name: NO_NUMBER[name]})


def test_what_a_file_says_of_a_choice_that_an_option_takes_back_is_forgotten(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text('[run]\nfreeze_at = "auto"\nfreeze_by = 1000\nencoder_from = "x"\ntransfer = "all"\n')
    run = started(file, env="atari/qbert", steps=6000, freeze_at="4000", encoder_from="never").run
    assert (run.freeze_at, run.freeze_by, run.encoder_from, run.transfer) == (4000, None, None, None)
    with pytest.raises(ConfigError, match=r"^--freeze-by: 900 is the latest step of --freeze-at auto; give that too$"):
        started(file, env="atari/qbert", steps=6000, freeze_at="4000", freeze_by=900)
