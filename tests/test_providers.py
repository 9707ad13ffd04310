"""`--ort-provider`: passed through to ONNX Runtime, held against the CPU, and left where it fails, said aloud.

This machine's ONNX Runtime has one provider beside the CPU's, Azure's, which leaves every layer to the CPU.
"""

import json
import re

import numpy as np
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidProtobuf

from edgerl.config import resolve
from edgerl.errors import ConfigError
from edgerl.training import train
from runtime import CPU, Session, providers
from runtime.export import Conv, StemGraph, export

AZURE, CUDA = "AzureExecutionProvider", "CUDAExecutionProvider"
TINY = {"env": "toy/catch", "budget": 200_000, "steps": 16, "freeze_at": 8, "learn_start": 6, "threads": 1}
WINDOWS = np.random.default_rng(0).integers(0, 256, (3, 4, 20, 20), np.uint8)


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    weights = {"conv.weight": rng.standard_normal((2, 4, 5, 5), np.float32), "conv.bias": np.ones(2, np.float32)}
    return export(StemGraph((Conv("conv", 5, pixels=True),), weights, (4, 20, 20), (2, 4, 4)))


@pytest.fixture
def wrong(monkeypatch):
    """Azure's latents are one off."""
    encode = Session.__call__
    monkeypatch.setattr(
        Session, "__call__", lambda self, windows: encode(self, windows) + np.float32(self.provider == AZURE)
    )


@pytest.mark.parametrize("name", ["cuda", "CUDA", "CudaExecutionProvider", CUDA])
def test_a_provider_has_a_short_name_and_a_long_one(name):
    assert providers.full_name(name) == CUDA


@pytest.mark.parametrize(("name", "said"), [("xnnpak", "the nearest is xnnpack"), ("abacus123", "there are acl, ")])
def test_an_unknown_provider_ends_in_one_line(name, said, program):
    code, _, (error,) = program("train", "--env", "toy/catch", "--ort-provider", name)
    assert code == 2
    assert error.startswith(f"edgerl: --ort-provider: ONNX Runtime knows no provider '{name}'")
    assert said in error


def test_the_provider_that_was_asked_for_encodes(model):
    expected = Session(model)(WINDOWS)
    encode, difference, passed = providers.session(model, AZURE, WINDOWS, expected, 1e-4)
    assert (encode.provider, difference, passed) == (AZURE, 0, None)
    assert encode._session.get_providers() == [AZURE, CPU]
    np.testing.assert_array_equal(encode(WINDOWS), expected)


def test_one_that_this_build_lacks_is_passed_over(model):
    encode, difference, passed = providers.session(model, CUDA, WINDOWS, None, 1e-4)
    assert (encode.provider, difference) == (CPU, 0)
    assert passed.startswith(f"{CUDA} is not in this build of ONNX Runtime, which has ")
    assert passed.endswith("; the CPU encodes")


@pytest.mark.parametrize("torchs", [True, False])
def test_one_that_differs_is_passed_over(torchs, model, wrong):
    latents = Session(model)(WINDOWS)
    encode, difference, passed = providers.session(model, AZURE, WINDOWS, latents if torchs else None, 1e-4)
    assert (encode.provider, difference) == (CPU, 0)
    assert passed == f"{AZURE} differs by 1, above {1e-4 * np.abs(latents).max():.3g}; the CPU encodes"


def test_large_latents_may_differ_by_a_share_of_the_largest():
    assert providers.allowed_difference(1e-4, np.float32([[0.5, -0.2]])) == 1e-4
    assert providers.allowed_difference(1e-4, np.float32([[3.0, -200.0]])) == pytest.approx(0.02)
    assert providers.allowed_difference(1e-4, np.float32([[np.nan]])) == 1e-4


def test_latents_that_are_no_number_have_no_parity(model, monkeypatch):
    encode = Session.__call__
    monkeypatch.setattr(
        Session, "__call__", lambda self, windows: encode(self, windows) * (np.nan if self.provider == AZURE else 1)
    )
    assert providers.session(model, AZURE, WINDOWS, None, 1e-4)[0].provider == CPU


def test_a_model_that_no_provider_reads_is_an_error():
    with pytest.raises(InvalidProtobuf, match="protobuf parsing failed"):
        providers.session(b"no model", AZURE, WINDOWS, None, 1e-4)


def test_a_run_takes_it_through_freeze_resume_and_eval(tmp_path, program, capsys):
    found = train.train(resolve.configured(TINY | {"ort_provider": "azure"}), tmp_path / "run")
    assert re.search(rf"of the trained encoder, by {AZURE}", " ".join(capsys.readouterr().err.split()))
    assert (found["freeze"]["provider"], found["freeze"]["provider_passed_over"]) == (AZURE, None)
    code, _, lines = program("train", "--resume", tmp_path / "run", "--steps", "24")
    assert code == 0
    assert not any("Provider" in line for line in lines)
    assert program("eval", tmp_path / "run", "--episodes", "1")[0] == 0


def test_a_run_without_it_says_so_at_its_start_and_at_its_freeze(tmp_path, program):
    settings = [part for name, value in TINY.items() for part in ("--set", f"{name}={value}{'B' * (name == 'budget')}")]
    code, _, lines = program("train", *settings, "--ort-provider", "cuda", "--out", tmp_path / "run")
    assert code == 0
    said = f"{CUDA} is not in this build of ONNX Runtime"
    assert " ".join(lines).count(said) == 2
    found = json.loads((tmp_path / "run/summary.json").read_text())["freeze"]
    assert found["provider"] == CPU
    assert found["provider_passed_over"].startswith(said)


def test_a_resumed_run_and_a_game_may_have_lost_it(tmp_path, program, wrong):
    train.train(resolve.configured(TINY), tmp_path / "run", quiet=True)
    said = f"{AZURE} differs by 1, above 0.0001; the CPU encodes"
    code, _, lines = program("train", "--resume", tmp_path / "run", "--ort-provider", "azure", "--steps", "20")
    assert code == 0
    assert lines.count(said) == 1
    assert program("eval", tmp_path / "run", "--episodes", "1")[::2] == (0, [f"edgerl: passed over: {said}"])


def test_a_resume_names_the_unknown_one(tmp_path):
    train.train(resolve.configured(TINY), tmp_path / "run", quiet=True)
    with pytest.raises(ConfigError, match="--ort-provider: ONNX Runtime knows no provider 'gpu'"):
        resolve.resumed(tmp_path / "run", {"ort_provider": "gpu"})
