"""What a plan says of an encoder of blocks: its cuts, where frames stay, the scratch memory."""

import pytest

from edgerl import configure
from edgerl.envs import suites
from edgerl.planning import plan


@pytest.mark.parametrize("command", ["train", "plan"])
@pytest.mark.parametrize(("arguments", "says"), [
    (["--cut", "block4"], "--cut: 'impala' has no layer 'block4'; it has block1, block2, block3, fc, or last"),
    (["--cut", "conv1"], "--cut: 'impala' has no layer 'conv1'; it has block1, block2, block3, fc, or last"),
    (["--cut", ""], "--cut: '' is empty"),
    (["--cut", "block3", "--store", "latents"], "--store: a latent of 15,488 B is larger than a frame of 7,056 B"),
])  # fmt: skip
def test_a_cut_that_cannot_be_is_refused_in_one_line(command, arguments, says, program, tmp_path):
    out = ["--out", tmp_path / "run"] if command == "train" else []
    code, written, lines = program(command, "--env", "toy/catch", "--encoder", "impala", *arguments, *out)
    assert (code, written, len(lines)) == (2, "", 1)
    assert lines[0].startswith(f"edgerl: {says}")
    assert not (tmp_path / "run").exists()


def test_the_plan_keeps_frames_where_latents_are_larger_and_says_so(program):
    code, written, _ = program("plan", "--env", "atari/qbert", "--encoder", "impala", "--cut", "block3")
    assert code == 0
    assert "latents are larger than frames" in written
    for cut, stores in (("block3", "pixels"), ("fc", "latents")):
        config = configure(env="atari/qbert", encoder="impala", cut=cut)
        found = plan.make_plan(config, suites.describe("atari/qbert"))
        assert (found.after.stores, found.flops.windows_per_batch) == (stores, 64 if stores == "pixels" else 0)
    assert found.latents.columns["obs"] == 4 * 256


def test_the_plan_says_where_frames_stay_for_another_reason(program):
    for options in (["--pixel-codec", "lz4"], ["--store", "pixels"]):
        written = program("plan", "--env", "atari/qbert", "--budget", "0.07GB", *options)[1]
        assert "\n  frames stay, and the frozen encoder encodes every batch" in written
        (line,) = [line for line in written.splitlines() if line.startswith("after the freeze ")]
        assert " 7,0" in line  # bytes of a row, which stays one of frames
    assert "frames stay" not in program("plan", "--env", "atari/qbert", "--budget", "0.07GB")[1]


def scratch(env, batch_size, **settings):
    config = configure(env=env, batch_size=batch_size, threads=1, **settings)
    return plan.make_plan(config, suites.describe(env)).ledger["scratch"] / 1e6


def test_scratch_follows_from_the_encoder_where_its_outputs_are_large():
    """Measured, in MB: 21 with data_efficient, 75 with canonical, 144 with impala; CURL 482."""
    assert 19 < scratch("atari/qbert", 32, encoder="data_efficient") < 25
    assert 60 < scratch("atari/qbert", 32, encoder="canonical") < 80
    assert 144 < scratch("atari/qbert", 32, encoder="impala") < 165
    assert 450 < scratch("dmc/cartpole-swingup", 128) < 490
    assert 690 < scratch("dmc/cartpole-swingup", 128, encoder="impala") < 850
