"""The cut: tail(stem(x)) is the whole, bit for bit in the engine, and within 1e-4 in ONNX Runtime."""

import dataclasses
import tracemalloc

import engines
import numpy as np
import onnx
import pytest
import torch
import traced_export
from torch.nn import functional
from torch_agents import modules
from torch_agents import onednn as before

from edgerl.agents.encoder.encoder import Encoder
from edgerl.agents.encoder.stem import Stem
from edgerl.agents.encoder.twin import Twin
from edgerl.agents.layers.arrays import to_numpy
from edgerl.agents.layers.parameters import load, named_arrays
from edgerl.config import architectures
from edgerl.runs.files import write_pieces
from runtime import Session, model_file
from runtime.export import export, export_pieces

WINDOW = (4, 84, 84)
CUTS = [
    (engine, name, layer.name)
    for name in architectures.ENCODERS
    for layer in architectures.layers(name, WINDOW)
    for engine in engines.BOTH
    if engine is engines.TORCH or not name.startswith("impala")
]
every_cut = pytest.mark.parametrize(
    ("engine", "name", "cut"), CUTS, ids=[f"{engine.name}-{name}-{cut}" for engine, name, cut in CUTS]
)


def build(name, engine=engines.TORCH, window=WINDOW, seed=1, cut=None):
    return Encoder(engine, name, window, cut=cut, rng=np.random.default_rng(seed))


def stem_of(encoder, name, cut=None, window=WINDOW):
    """What lies left of a cut of an encoder; without one, all of it."""
    cut = cut or architectures.last_layer(name)
    weights = named_arrays(encoder.parameters)
    return Stem(name, window, cut, weights, lambda windows: encoder.encode_until(cut, encoder.prepare(windows)))


def tail_of(encoder, name, cut, window=WINDOW):
    """What lies right of it."""
    tail = build(name, encoder.engine, window, cut=cut)
    whole = named_arrays(encoder.parameters)
    load(named_arrays(tail.parameters), {key: to_numpy(whole[key]) for key in named_arrays(tail.parameters)})
    return tail


def encoded(encoder, observations):
    return to_numpy(encoder.encode(encoder.prepare(observations)))


def in_torch(encoder, name, window=WINDOW):
    """The same encoder of torch's modules."""
    module = modules.build(name, window)
    weights = named_arrays(encoder.parameters)
    modules.load_arrays(module, {key: np.array(to_numpy(array)) for key, array in weights.items()})
    return module


@pytest.fixture
def traceable(monkeypatch):
    """Have torch's modules do what can be traced: float32 whatever the weights are, and no kernels of oneDNN."""

    def forward(self, pixels):
        pixels = pixels.to(torch.float32)
        return functional.conv2d(pixels, self.weight * before.PIXEL, self.bias, self.stride, self.padding)

    monkeypatch.setattr(modules.PixelConv, "forward", forward)
    monkeypatch.setattr(before, "usable", lambda layers: False)


def difference(stem, encode, windows):
    return np.abs(stem.latents(windows) - encode(windows)).max()


def windows(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *WINDOW), dtype=np.uint8)


@every_cut
def test_tail_of_stem_is_the_whole_bit_for_bit(engine, name, cut):
    whole, x = build(name, engine), windows(5)
    prepared = whole.prepare(x)
    crossing = to_numpy(whole.encode_until(cut, prepared))  # in its own layout: another is rounded otherwise
    np.testing.assert_array_equal(encoded(tail_of(whole, name, cut), crossing), encoded(whole, x))
    latents = stem_of(whole, name, cut).latents(x)
    assert latents.shape[1:] == architectures.latent_shape(name, WINDOW, cut)
    np.testing.assert_array_equal(latents, crossing.reshape(latents.shape))
    np.testing.assert_allclose(encoded(tail_of(whole, name, cut), latents), encoded(whole, x), rtol=0, atol=1e-6)


@every_cut
def test_onnx_runtime_computes_the_stem(engine, name, cut, tmp_path):
    stem = stem_of(build(name, engine), name, cut)
    (tmp_path / "encoder.onnx").write_bytes(export(stem.graph))
    encode = Session(tmp_path / "encoder.onnx")
    assert encode.shape == architectures.latent_shape(name, WINDOW, cut)
    for count in (1, 7, 32):
        latents = encode(windows(count))
        assert latents.dtype == np.float32
        assert difference(stem, encode, windows(count)) <= 1e-5


def test_parity_sees_a_stem_that_is_not_the_one_exported():
    one, other = (stem_of(build("data_efficient", engines.NUMPY, seed=seed), "data_efficient") for seed in (1, 2))
    assert difference(other, Session(export(one.graph)), windows(4)) > 1e-3


def test_exported_file_is_checked_onnx_with_a_free_batch():
    stem = stem_of(build("data_efficient", engines.NUMPY), "data_efficient")
    model = onnx.load_from_string(export(stem.graph))
    onnx.checker.check_model(model, full_check=True)
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


@every_cut
def test_weights_of_the_file_are_the_stems_by_name_to_the_bit(engine, name, cut, tmp_path):
    encoder = build(name, engine)
    write_pieces(tmp_path / "encoder.onnx", export_pieces(stem_of(encoder, name, cut).graph))
    found, expected = model_file.weights(tmp_path / "encoder.onnx"), named_arrays(encoder.parameters)
    assert list(found) == list(modules.build(name, WINDOW).split(cut)[0].state_dict())
    for weight, array in found.items():
        assert array.flags.writeable
        np.testing.assert_array_equal(array, to_numpy(expected[weight]), weight)


@pytest.mark.parametrize(("engine", "name"), [(engines.NUMPY, "data_efficient"), (engines.TORCH, "canonical")])
def test_weights_that_lie_channel_by_channel_are_written_row_by_row(engine, name, tmp_path):
    whole = build(name, engine)
    weight = to_numpy(whole.parameters["conv2"].arrays["weight"])
    assert not weight.flags.c_contiguous
    (tmp_path / "encoder.onnx").write_bytes(export(stem_of(whole, name).graph))
    np.testing.assert_array_equal(model_file.weights(tmp_path / "encoder.onnx")["conv2.weight"], weight)


@pytest.mark.parametrize("engine", engines.BOTH, ids=engines.name)
def test_a_file_is_written_without_a_copy_of_its_weights(engine, tmp_path):
    """7.9 MB of them."""
    window = (9, 84, 84)
    whole = build("curl", engine, window)
    assert sum(own.nbytes for own in whole.parameters.values()) > 7.8e6
    tracemalloc.start()
    graph = stem_of(whole, "curl", window=window).graph
    write_pieces(tmp_path / "encoder.onnx", export_pieces(graph))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1e6
    assert (tmp_path / "encoder.onnx").read_bytes() == export(graph)


def test_a_weight_that_is_missing_is_named_before_anything_is_written():
    stem = stem_of(build("data_efficient", engines.NUMPY), "data_efficient").graph
    weights = {name: array for name, array in stem.weights.items() if name != "conv2.bias"}
    with pytest.raises(KeyError, match=r"conv2\.bias"):
        export_pieces(dataclasses.replace(stem, weights=weights))


@every_cut
@pytest.mark.usefixtures("traceable")
def test_the_file_of_an_architecture_is_that_of_what_its_modules_do(engine, name, cut):
    whole = build(name, engine)
    module = in_torch(whole, name).split(cut)[0]
    assert export(stem_of(whole, name, cut).graph) == traced_export.export(module, WINDOW)


@pytest.mark.parametrize("name", ["curl", "impala_50"])
@pytest.mark.usefixtures("traceable")
def test_the_file_of_a_pair_of_encoders_is_that_of_what_its_modules_do(name):
    window = (9, 84, 84)
    pair = Twin(engines.TORCH, name, window, cut=None, rng=np.random.default_rng(0))
    weights = named_arrays(pair.parameters)
    shared, critic = modules.build(name, window).split_convolutions()
    module = modules.Twin(shared, modules.build(name, window).split_convolutions()[1], critic)
    modules.load_arrays(module, {key: np.array(to_numpy(array)) for key, array in weights.items()})
    for layer in architectures.layers(name, window):
        described = Stem(name, window, layer.name, weights, lambda windows: windows, encoders=2)
        expected = traced_export.export(module.split(layer.name)[0], window)
        assert export(described.graph) == expected, layer.name


def test_an_unknown_cut_is_named():
    with pytest.raises(KeyError, match="conv9"):
        build("data_efficient", engines.NUMPY, cut="conv9")
