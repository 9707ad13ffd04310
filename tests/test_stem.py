"""The cut: tail(stem(x)) is the whole, bit for bit in torch, and within 1e-4 in ONNX Runtime."""

import dataclasses
import tracemalloc

import numpy as np
import onnx
import pytest
import torch
import traced_export
from torch import nn
from traced_export import parity as difference

from edgerl.agents.torch_encoder import modules
from edgerl.config import architectures
from edgerl.runs.files import write_pieces
from runtime import Session, model_file
from runtime.export import export, export_pieces

WINDOW = (4, 84, 84)
CUTS = [(name, layer.name) for name in architectures.ENCODERS for layer in architectures.layers(name, WINDOW)]


def graph(module, name, cut=None, window=WINDOW):
    """A module as the encoder `name` up to a cut, for ONNX."""
    return modules.Stem(module, name, window, cut or architectures.last_layer(name)).graph


def windows(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *WINDOW), dtype=np.uint8)


@pytest.mark.parametrize(("name", "cut"), CUTS)
def test_tail_of_stem_is_the_whole_bit_for_bit(name, cut):
    whole = modules.build(name, WINDOW)
    stem, tail = whole.split(cut)
    x = torch.from_numpy(windows(5))
    with torch.no_grad():
        assert torch.equal(tail(stem(x)), whole(x))
        assert tuple(stem(x).shape[1:]) == architectures.latent_shape(name, WINDOW, cut)


@pytest.mark.parametrize(("name", "cut"), CUTS)
def test_onnx_runtime_computes_the_stem(name, cut, tmp_path):
    torch.manual_seed(1)
    stem = modules.build(name, WINDOW).split(cut)[0]
    (tmp_path / "encoder.onnx").write_bytes(export(graph(stem, name, cut)))
    encode = Session(tmp_path / "encoder.onnx")
    assert encode.shape == architectures.latent_shape(name, WINDOW, cut)
    for count in (1, 7, 32):
        latents = encode(windows(count))
        assert latents.dtype == np.float32
        assert difference(stem, encode, windows(count)) <= 1e-5


def test_parity_sees_a_stem_that_is_not_the_one_exported():
    torch.manual_seed(1)
    one, other = (modules.build("data_efficient", WINDOW) for _ in range(2))
    assert difference(other, Session(export(graph(one, "data_efficient"))), windows(4)) > 1e-3


def test_exported_file_is_checked_onnx_with_a_free_batch():
    model = onnx.load_from_string(export(graph(modules.build("data_efficient", WINDOW), "data_efficient")))
    onnx.checker.check_model(model, full_check=True)
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


@pytest.mark.parametrize(("name", "cut"), CUTS)
def test_weights_of_the_file_are_the_stems_by_name_to_the_bit(name, cut, tmp_path):
    stem = modules.build(name, WINDOW).split(cut)[0]
    write_pieces(tmp_path / "encoder.onnx", export_pieces(graph(stem, name, cut)))
    found, expected = model_file.weights(tmp_path / "encoder.onnx"), stem.state_dict()
    assert list(found) == list(expected)
    for weight, array in found.items():
        assert array.flags.writeable
        np.testing.assert_array_equal(array, expected[weight].numpy(), weight)


def test_weights_that_lie_channel_by_channel_are_written_row_by_row(tmp_path):
    whole = modules.build("data_efficient", WINDOW).to(memory_format=torch.channels_last)
    assert not whole.conv2.weight.is_contiguous()
    (tmp_path / "encoder.onnx").write_bytes(export(graph(whole, "data_efficient")))
    np.testing.assert_array_equal(
        model_file.weights(tmp_path / "encoder.onnx")["conv2.weight"], whole.conv2.weight.detach().numpy()
    )


def test_a_file_is_written_without_a_copy_of_its_weights(tmp_path):
    """7.9 MB of them."""
    stem = modules.build("curl", (9, 84, 84))
    assert sum(p.nbytes for p in stem.parameters()) > 7.8e6
    tracemalloc.start()
    write_pieces(tmp_path / "encoder.onnx", export_pieces(graph(stem, "curl", window=(9, 84, 84))))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1e6
    assert (tmp_path / "encoder.onnx").read_bytes() == export(graph(stem, "curl", window=(9, 84, 84)))


def test_pixels_are_scaled_to_one():
    whole = modules.build("data_efficient", WINDOW)
    x = torch.from_numpy(windows(3))
    plain = nn.functional.conv2d(x.float() / 255, whole.conv1.weight, whole.conv1.bias, stride=5)
    torch.testing.assert_close(whole.conv1(x), plain, rtol=1e-4, atol=1e-5)


def test_a_weight_that_is_missing_is_named_before_anything_is_written():
    stem = graph(modules.build("data_efficient", WINDOW), "data_efficient")
    weights = {name: array for name, array in stem.weights.items() if name != "conv2.bias"}
    with pytest.raises(KeyError, match=r"conv2\.bias"):
        export_pieces(dataclasses.replace(stem, weights=weights))


@pytest.mark.parametrize(("name", "cut"), CUTS)
def test_the_file_of_an_architecture_is_that_of_what_its_modules_do(name, cut):
    stem = modules.build(name, WINDOW).split(cut)[0]
    assert export(graph(stem, name, cut)) == traced_export.export(stem, WINDOW)


@pytest.mark.parametrize("name", ["curl", "impala_50"])
def test_the_file_of_a_pair_of_encoders_is_that_of_what_its_modules_do(name):
    window = (9, 84, 84)
    shared, critic = modules.build(name, window).split_convolutions()
    pair = modules.Twin(shared, modules.build(name, window).split_convolutions()[1], critic)
    for layer in architectures.layers(name, window):
        stem = pair.split(layer.name)[0]
        described = modules.Stem(stem, name, window, layer.name, encoders=2)
        assert export(described.graph) == traced_export.export(stem, window), layer.name


def test_an_unknown_cut_is_named():
    with pytest.raises(KeyError, match="conv9"):
        modules.build("data_efficient", WINDOW).split("conv9")
