"""`--encoder module:callable` that is none: one line that names the option and says what is wrong."""

import pytest

from edgerl.config import architectures

MODULE = """
from edgerl.config.architectures import Block, Conv, Linear

def encoder(*layers):
    return lambda: list(layers)

whole = encoder(Conv(16, 8, 8), Conv(32, 2, 2))
no_stride, no_channels, below = encoder(Conv(16, 8, 0)), encoder(Conv(0, 8, 8)), encoder(Conv(-3, 8, 8))
text, fraction, no_kernel = encoder(Conv("a", 8, 8)), encoder(Conv(16, 8.0, 8)), encoder(Conv(16, 0, 8))
no_block, no_features = encoder(Block(0)), encoder(Conv(16, 8, 8), Linear(0))

def lost():
    return {}["layers"]

def leaves():
    raise SystemExit(3)
"""
REFUSED = {
    "no_stride": "stride of layer 1 is 0, not a whole number from 1",
    "no_channels": "channels of layer 1 is 0, not a whole number from 1",
    "below": "channels of layer 1 is -3, not a whole number from 1",
    "text": "channels of layer 1 is 'a', not a whole number from 1",
    "fraction": "kernel of layer 1 is 8.0, not a whole number from 1",
    "no_kernel": "kernel of layer 1 is 0, not a whole number from 1",
    "no_block": "channels of layer 1 is 0, not a whole number from 1",
    "no_features": "features of layer 2 is 0, not a whole number from 1",
    "lost": "cannot be loaded: KeyError: 'layers'",
    "leaves": "cannot be loaded: SystemExit: 3",
    "missing": "cannot be loaded: AttributeError: module 'own_layers' has no attribute 'missing'",
}


@pytest.fixture(autouse=True)
def modules(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_layers.py").write_text(MODULE)
    (tmp_path / "torn_layers.py").write_text("def layers(:\n")


@pytest.mark.parametrize("name", REFUSED)
def test_layers_that_are_none_are_refused_in_one_line(name, program):
    code, _, lines = program("plan", "--env", "toy/catch", "--encoder", f"own_layers:{name}")
    between = " " if REFUSED[name].startswith("cannot") else ": "
    assert (code, lines) == (2, [f"edgerl: --encoder: 'own_layers:{name}'{between}{REFUSED[name]}"])


def test_a_module_that_is_no_python_is_refused_in_one_line(program):
    code, _, (line,) = program("plan", "--env", "toy/catch", "--encoder", "torn_layers:layers")
    assert code == 2
    assert line.startswith("edgerl: --encoder: 'torn_layers:layers' cannot be loaded: SyntaxError: ")


def test_whole_layers_are_taken(program):
    assert program("plan", "--env", "toy/catch", "--encoder", "own_layers:whole")[::2] == (0, [])
    assert len(architectures.specs("own_layers:whole")) == 2
