"""Runs that begin with another run's networks, frozen or not: what they take, what is refused, and how they resume."""

import json
import shlex
import shutil

import numpy as np
import pytest
import safetensors.numpy
from cases import quick
from stopping import stopped_after
from test_control import final
from test_sweep_grid import config_of
from transfers import tiny, trained

import edgerl
from edgerl.config import resolve, toml
from edgerl.errors import ConfigError
from edgerl.experiments.reports.repeat import command
from edgerl.runs import checkpoint
from edgerl.training import train
from edgerl.training.loop import TrainingLoop
from runtime import Session, model_file


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("sources"))


def begun(folder, name, source, **changes):
    """A run that begins with a source's networks; its summary."""
    return train.train(tiny(encoder_from=str(source), **changes), folder / name, quiet=True)


def arrays(folder, step):
    return safetensors.numpy.load_file(folder / "checkpoint" / f"{step:09d}" / "weights.safetensors")


def encoder(folder, step):
    """All of a run's online encoder, as its newest checkpoint and its stem have it."""
    stem = model_file.weights(folder / "encoder.onnx") if (folder / "encoder.onnx").exists() else {}
    part = "online.encoder."
    found = {name.removeprefix(part): array for name, array in arrays(folder, step).items() if name.startswith(part)}
    return stem | found


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("source", ["whole", "frozen", "frozen early"])
@pytest.mark.parametrize("what", ["all", "encoder"])
def test_a_run_begins_with_the_weights_of_another(source, what, sources, tmp_path):
    found = begun(tmp_path, "run", sources[source], transfer=what, seed=1)
    theirs, own = arrays(sources[source], 12), arrays(tmp_path / "run", 0)
    assert same(encoder(tmp_path / "run", 0), encoder(sources[source], 12))
    heads = [name for name in own if ".head." in name and not name.startswith("optimizer.")]
    assert len(heads) == 2 * 12
    assert all(np.array_equal(own[name], theirs[name]) for name in heads) == (what == "all")
    assert not any(own[name].any() for name in own if name.startswith("optimizer."))
    state = json.loads((tmp_path / "run/checkpoint/000000000/state.json").read_text())
    assert state["agent"]["updates"] == 0
    origin, saved = found["transfer"], checkpoint.newest(sources[source] / "checkpoint")
    digest = saved.values["sha256"]["weights.safetensors"]
    expected = {"run": str(sources[source]), "what": what, "env": "toy/catch", "algo": "rainbow", "step": 12}
    assert origin == expected | {"weights_sha256": digest}


def test_heads_are_drawn_as_without_a_transfer(sources, tmp_path):
    begun(tmp_path, "one", sources["whole"], seed=1)
    begun(tmp_path, "again", sources["whole"], seed=1)
    begun(tmp_path, "other", sources["whole"], seed=2)
    train.train(tiny(seed=1), tmp_path / "fresh", quiet=True)
    one, other, fresh = (arrays(tmp_path / name, 0) for name in ("one", "other", "fresh"))
    heads = [name for name in one if ".head." in name]
    assert all(np.array_equal(one[name], fresh[name]) for name in heads)
    assert not all(np.array_equal(one[name], other[name]) for name in heads)
    weights, state, rows = final(tmp_path / "one", 12)
    weights_again, state_again, rows_again = final(tmp_path / "again", 12)
    assert same(weights, weights_again)
    assert (state, rows) == (state_again, rows_again)


@pytest.mark.parametrize("source", ["whole", "frozen", "frozen early"])
def test_frozen_at_the_start_the_stem_is_the_sources_in_onnx_runtime_too(source, sources, tmp_path):
    found = begun(tmp_path, "run", sources[source], freeze_at=0)
    assert (found["status"], found["freeze"]["step"], found["freeze"]["rows_before"]) == ("finished", 0, 0)
    assert found["freeze"]["parity_max_abs_diff"] <= 1e-4
    x = np.random.default_rng(0).integers(0, 256, (3, 4, 84, 84), dtype=np.uint8)
    latents = Session(tmp_path / "run/encoder.onnx")(x)
    begun(tmp_path, "whole", sources[source])
    with np.errstate(all="raise"):
        whole = encoder(tmp_path / "whole", 0)
    assert same(model_file.weights(tmp_path / "run/encoder.onnx"), whole)
    if source == "frozen":
        np.testing.assert_array_equal(latents, Session(sources["frozen"] / "encoder.onnx")(x))
    updated = encoder(tmp_path / "run", 12)
    assert same(updated, whole)  # what is frozen is not trained


def test_the_encoder_goes_from_one_algorithm_to_another(sources, tmp_path):
    begun(tmp_path, "dqn", sources["frozen"], algo="dqn", freeze_at=0)
    assert same(encoder(tmp_path / "dqn", 12), encoder(sources["frozen"], 12))
    begun(tmp_path, "rainbow", sources["dqn"])
    assert same(encoder(tmp_path / "rainbow", 0), encoder(sources["dqn"], 12))


@pytest.mark.long
def test_a_pair_of_encoders_goes_from_task_to_task(tmp_path):
    """Cartpole to another task of one action, frozen behind the convolutions; then all of that for one more."""
    changes = {"budget": 6_000_000, "steps": 6, "learn_start": 2, "random_steps": 2}
    train.train(tiny("dmc/cartpole-swingup", **changes), tmp_path / "whole", quiet=True)
    changes |= {"freeze_at": 0, "cut": "conv4"}
    one = train.train(
        tiny("dmc/pendulum-swingup", encoder_from=str(tmp_path / "whole"), **changes), tmp_path / "one", quiet=True
    )
    assert (one["status"], one["store"], one["freeze"]["rows_after"]) == ("finished", "pixels", 0)
    theirs, own = arrays(tmp_path / "whole", 6), arrays(tmp_path / "one", 0)
    parts = [name for name in own if name.startswith("net.encoders.")]
    assert len(parts) == 2 * 4  # what is right of the cut: a checkpoint of step 0 is from after the freeze
    assert all(np.array_equal(own[name], theirs[name]) for name in parts)
    two = train.train(
        tiny("dmc/pendulum-swingup", encoder_from=str(tmp_path / "one"), transfer="all", **changes | {"cut": "fc"}),
        tmp_path / "two",
        quiet=True,
    )
    assert (two["status"], two["store"], two["transfer"]["step"]) == ("finished", "latents", 6)
    stem = model_file.weights(tmp_path / "two/encoder.onnx")
    first = model_file.weights(tmp_path / "one/encoder.onnx")
    assert len(first) == 2 * 4
    assert all(np.array_equal(stem[name], array) for name, array in first.items())
    tail = arrays(tmp_path / "one", 6)
    for name in ("actor.fc.weight", "critic.fc.weight", "actor.norm.bias"):
        np.testing.assert_array_equal(stem[name], tail[f"net.encoders.{name}"])


@pytest.mark.parametrize("freeze_at", quick(["never", 0, 9], 0))
def test_a_resumed_run_needs_the_source_no_more(freeze_at, sources, tmp_path):
    source = shutil.copytree(sources["frozen early"], tmp_path / "source")
    settings = tiny(encoder_from=str(source), transfer="all", freeze_at=freeze_at)
    whole = train.train(settings, tmp_path / "whole", quiet=True)
    with stopped_after(8):
        assert train.train(settings, tmp_path / "parts", quiet=True)["status"] == "interrupted"
    shutil.rmtree(source)
    found = train.train(toml.load(tmp_path / "parts/config.toml"), tmp_path / "parts", resume=True, quiet=True)
    assert (found["status"], found["transfer"]) == ("finished", whole["transfer"])
    weights, state, rows = final(tmp_path / "whole", 12)
    weights_again, state_again, rows_again = final(tmp_path / "parts", 12)
    assert same(weights, weights_again)
    assert state == state_again
    assert len(rows) == len(rows_again)


def test_killed_before_its_freeze_at_the_start_a_run_begins_again(sources, tmp_path, monkeypatch):
    settings = tiny(encoder_from=str(sources["whole"]), freeze_at=0)
    train.train(settings, tmp_path / "whole", quiet=True)

    def killed(loop):
        raise KeyboardInterrupt

    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/config.toml").write_text(settings.to_toml())  # all that was written when it was killed
    with monkeypatch.context() as patch:
        patch.setattr(TrainingLoop, "freeze", killed)
        with pytest.raises(KeyboardInterrupt):
            train.train(settings, tmp_path / "parts", resume=True, quiet=True)
    assert not (tmp_path / "parts/checkpoint").exists()
    assert train.train(settings, tmp_path / "parts", resume=True, quiet=True)["freeze"]["step"] == 0
    weights, state, rows = final(tmp_path / "whole", 12)
    weights_again, state_again, rows_again = final(tmp_path / "parts", 12)
    assert same(weights, weights_again)
    assert (state, rows) == (state_again, rows_again)


def test_killed_before_its_first_checkpoint_a_run_begins_again_with_the_source(sources, tmp_path):
    source = shutil.copytree(sources["whole"], tmp_path / "source")
    settings = tiny(encoder_from=str(source))
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.toml").write_text(settings.to_toml())
    assert train.train(settings, tmp_path / "run", resume=True, quiet=True)["transfer"]["step"] == 12
    shutil.rmtree(tmp_path / "run/checkpoint")
    shutil.rmtree(source)
    with pytest.raises(ConfigError, match=r"^--encoder-from: there is no folder"):
        train.train(settings, tmp_path / "run", resume=True, quiet=True)


def test_a_checkpoint_of_before_there_was_a_transfer_is_resumed(tmp_path):
    with stopped_after(8):
        train.train(tiny(), tmp_path / "run", quiet=True)
    place = tmp_path / "run/checkpoint/000000008/state.json"
    state = json.loads(place.read_text())
    del state["trainer"]["origin"], state["checksum"]
    place.write_text(json.dumps({"checksum": checkpoint._checksum(state), **state}))
    text = (tmp_path / "run/config.toml").read_text().partition("\n")[2]  # without its seal
    kept = [line for line in text.splitlines() if not line.startswith(("encoder_from", "transfer"))]
    assert len(kept) == len(text.splitlines()) - 2
    (tmp_path / "run/config.toml").write_text("\n".join(kept))
    found = train.train(toml.load(tmp_path / "run/config.toml"), tmp_path / "run", resume=True, quiet=True)
    assert (found["status"], found["transfer"]) == ("finished", None)


def test_a_damaged_newest_checkpoint_is_passed_over_and_the_older_one_taken(sources, tmp_path, program):
    source = shutil.copytree(sources["whole"], tmp_path / "source")
    file = source / "checkpoint/000000012/weights.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    given = ["--set", "learn_start=6", "--set", "hidden=8", "--batch-size", "2"]
    code, printed, lines = program(
        "train", "--env", "toy/catch", "--steps", "7", "--freeze-at", "0", "--encoder-from", source,
        "--out", tmp_path / "run", *given,
    )  # fmt: skip
    assert code == 0
    said = "\n".join(lines)
    assert "passed over:" in said
    assert f"begins  with the encoder of {source}: toy/catch, rainbow, step 0" in said
    assert "begun with the encoder of" in " ".join(printed.split())
    assert json.loads((tmp_path / "run/summary.json").read_text())["transfer"]["step"] == 0


def test_the_encoder_is_what_is_taken_if_nothing_else_is_said(tmp_path):
    assert resolve.started({"env": "toy/catch", "encoder_from": "x"}, None, [])[0].run.transfer == "encoder"
    fresh = resolve.started({"env": "toy/catch"}, None, [])[0]
    assert (fresh.run.encoder_from, fresh.run.transfer) == (None, None)
    (tmp_path / "mine.toml").write_text(fresh.to_toml())
    again = resolve.started({"encoder_from": "x"}, tmp_path / "mine.toml", [])[0].run
    assert (again.encoder_from, again.transfer) == ("x", "encoder")


def test_the_command_that_repeats_a_run_names_its_source(sources):
    for changes in ({}, {"encoder_from": str(sources["whole"]), "transfer": "all", "freeze_at": 0}):
        settings = tiny(**changes)
        words = shlex.split(command(settings))
        assert ("--encoder-from" in words) == bool(changes)
        assert config_of(words[2:]) == settings


def test_a_script_begins_with_a_run_too(sources, tmp_path):
    settings = tiny(encoder_from=str(sources["whole"]), freeze_at=0)
    assert edgerl.train(settings, tmp_path / "run")["transfer"]["what"] == "encoder"
    assert edgerl.load(tmp_path / "run").act(np.zeros((4, 84, 84), np.uint8)) in (0, 1, 2)
