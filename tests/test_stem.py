"""The cut: tail(stem(x)) is the whole, bit for bit in torch, and within 1e-4 in ONNX Runtime."""

import tracemalloc
from collections import OrderedDict

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from edgerl.agents.torch_encoder import modules
from edgerl.config import architectures
from edgerl.runs.files import write_pieces
from runtime import Session, model_file
from runtime.export import ExportError, export, export_pieces, parity

WINDOW = (4, 84, 84)
CUTS = [(name, layer.name) for name in architectures.ENCODERS for layer in architectures.layers(name, WINDOW)]


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
    (tmp_path / "encoder.onnx").write_bytes(export(stem, WINDOW))
    encode = Session(tmp_path / "encoder.onnx")
    assert encode.shape == architectures.latent_shape(name, WINDOW, cut)
    for count in (1, 7, 32):
        latents = encode(windows(count))
        assert latents.dtype == np.float32
        assert parity(stem, encode, windows(count)) <= 1e-5


def test_parity_sees_a_stem_that_is_not_the_one_exported():
    torch.manual_seed(1)
    one, other = (modules.build("data_efficient", WINDOW) for _ in range(2))
    assert parity(other, Session(export(one, WINDOW)), windows(4)) > 1e-3


def test_exported_file_is_checked_onnx_with_a_free_batch():
    model = onnx.load_from_string(export(modules.build("data_efficient", WINDOW), WINDOW))
    onnx.checker.check_model(model, full_check=True)
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


@pytest.mark.parametrize(("name", "cut"), CUTS)
def test_weights_of_the_file_are_the_stems_by_name_to_the_bit(name, cut, tmp_path):
    stem = modules.build(name, WINDOW).split(cut)[0]
    write_pieces(tmp_path / "encoder.onnx", export_pieces(stem, WINDOW))
    found, expected = model_file.weights(tmp_path / "encoder.onnx"), stem.state_dict()
    assert list(found) == list(expected)
    for weight, array in found.items():
        assert array.flags.writeable
        np.testing.assert_array_equal(array, expected[weight].numpy(), weight)


def test_weights_that_lie_channel_by_channel_are_written_row_by_row(tmp_path):
    whole = modules.build("data_efficient", WINDOW).to(memory_format=torch.channels_last)
    assert not whole.conv2.weight.is_contiguous()
    (tmp_path / "encoder.onnx").write_bytes(export(whole, WINDOW))
    np.testing.assert_array_equal(
        model_file.weights(tmp_path / "encoder.onnx")["conv2.weight"], whole.conv2.weight.detach().numpy()
    )


def test_a_file_is_written_without_a_copy_of_its_weights(tmp_path):
    """7.9 MB of them."""
    stem = modules.build("curl", (9, 84, 84))
    assert sum(p.nbytes for p in stem.parameters()) > 7.8e6
    tracemalloc.start()
    write_pieces(tmp_path / "encoder.onnx", export_pieces(stem, (9, 84, 84)))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1e6
    assert (tmp_path / "encoder.onnx").read_bytes() == export(stem, (9, 84, 84))


def test_a_file_that_is_no_model_is_named(tmp_path):
    (tmp_path / "other.onnx").write_bytes(b"no model at all")
    with pytest.raises(ValueError, match=r"other\.onnx is no ONNX file"):
        model_file.weights(tmp_path / "other.onnx")


def test_pixels_are_scaled_to_one():
    whole = modules.build("data_efficient", WINDOW)
    x = torch.from_numpy(windows(3))
    plain = nn.functional.conv2d(x.float() / 255, whole.conv1.weight, whole.conv1.bias, stride=5)
    torch.testing.assert_close(whole.conv1(x), plain, rtol=1e-4, atol=1e-5)


def test_an_unknown_operation_is_named():
    with pytest.raises(ExportError, match=r"shrink.*Softshrink"):
        export(nn.Sequential(OrderedDict(shrink=nn.Softshrink())), WINDOW)


def test_an_unknown_cut_is_named():
    with pytest.raises(KeyError, match="conv9"):
        modules.build("data_efficient", WINDOW).split("conv9")
