"""What a run cannot begin with is one line, exit code 2, and nothing is made."""

import shutil

import pytest
from transfers import tiny, trained

from edgerl import configure
from edgerl.envs import suites
from edgerl.errors import ConfigError
from edgerl.training import train, transfer


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("sources"))


ONLY = "--transfer encoder takes only the encoder"
REFUSED = {  # source, options, what is said
    "no such folder": ("nowhere", [], "--encoder-from: there is no folder"),
    "no run": ("empty", [], "config.toml does not exist"),
    "no checkpoint": ("unsaved", [], "holds no checkpoint"),
    "a damaged checkpoint": ("damaged", [], "000000012 is damaged"),
    "a damaged stem": ("stem", [], "encoder.onnx is damaged: its checksum differs"),
    "another encoder": (
        "whole", ["--encoder", "canonical"], "has encoder data_efficient of 4x84x84, this run canonical of 4x84x84",
    ),
    "an encoder of another environment": (
        "whole", ["--env", "dmc/walker-walk"], "has encoder data_efficient of 4x84x84, this run curl of 9x84x84",
    ),
    "another algorithm": (
        "dqn", ["--transfer", "all"], f"was trained by dqn, this run by rainbow; {ONLY}",
    ),
    "other actions": ("whole", ["--transfer", "all", "--env", "atari/qbert"], f"has 3 actions, this run 6; {ONLY}"),
    "another head": (
        "whole", ["--transfer", "all", "--set", "hidden=9"], f"has agent.hidden = 8, this run 9; {ONLY}",
    ),
    "other values": (
        "whole", ["--transfer", "all", "--set", "v_max=3.0"], f"has agent.v_max = 2.0, this run 3.0; {ONLY}",
    ),
    "plain heads": (
        "whole", ["--transfer", "all", "--set", "noisy=false"], f"has agent.noisy = True, this run False; {ONLY}",
    ),
    "an unknown word": ("whole", ["--transfer", "heads"], "--transfer: 'heads' is not 'all' or 'encoder'"),
    "an empty name": ("", [], "--encoder-from: '' is empty"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_taken_is_one_line_that_names_both_and_nothing_is_made(case, sources, tmp_path, program):
    name, given, says = REFUSED[case]
    folder = sources.get(name, tmp_path / name)
    if name in ("empty", "unsaved"):
        folder.mkdir()
    if name == "unsaved":
        (folder / "config.toml").write_text(tiny().to_toml())
    if name == "damaged":
        shutil.copytree(sources["whole"], folder)
        for file in folder.glob("checkpoint/*/state.json"):
            file.write_text(file.read_text()[:-2])
    if name == "stem":
        shutil.copytree(sources["frozen"], folder)
        (folder / "encoder.onnx").write_bytes(b"")
    options_ = ["--env", "toy/catch", "--set", "hidden=8", *given]
    source = "" if case == "an empty name" else folder
    code, written, lines = program("train", *options_, "--encoder-from", source, "--out", tmp_path / "run")
    assert (code, written, len(lines)) == (2, "", 1)
    assert lines[0].startswith("edgerl: --")
    assert says in lines[0]
    assert says.startswith("--") or str(folder) in lines[0]
    assert not (tmp_path / "run").exists()


def test_a_pair_of_encoders_is_not_one(tmp_path):
    """Rainbow with CURL's encoder, on windows as large."""
    source = tmp_path / "source"
    train.train(tiny(encoder="curl", steps=8), source, quiet=True)
    control = configure(
        env="dmc/pendulum-swingup", crop=0, random_crop=False, augmentations=1, encoder_from=str(source)
    )
    with pytest.raises(
        ConfigError, match="was trained by rainbow, this run by curl: curl has two encoders, rainbow one"
    ):
        transfer.find(control, suites.describe("toy/catch"))


def test_what_to_transfer_needs_a_run_to_take_it_from(program, tmp_path):
    code, _, (line,) = program("train", "--env", "toy/catch", "--transfer", "all", "--out", tmp_path / "run")
    assert (code, line) == (2, "edgerl: --transfer: all of which run? give --encoder-from RUN too")


def test_a_source_cannot_change_at_a_resume(sources, program):
    code, _, (line,) = program("train", "--resume", sources["whole"], "--encoder-from", sources["frozen"])
    assert code == 2
    assert line.startswith("edgerl: --encoder-from: cannot change at --resume")
