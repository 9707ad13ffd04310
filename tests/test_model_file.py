"""ONNX files without the onnx package: what it writes and reads is the oracle. Damaged files are named."""

import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from traced_export import weights_last

from runtime import model_file, protobuf
from runtime.export import Conv, Flatten, LayerNorm, Linear, MaxPool, Relu, Residual, Stack, StemGraph, export

ROOT = Path(__file__).parents[1]
DTYPES = [np.dtype(code) for code in ("f4", "u1", "i1", "u2", "i2", "i4", "i8", "?", "f2", "f8", "u4", "u8")]


def layer(name, *shape):
    return {f"{name}.weight": np.full(shape, 0.5, np.float32), f"{name}.bias": np.ones(shape[0], np.float32)}


BRANCH = (Residual((Relu(), Conv("two", 1, 1))), MaxPool(3, 2, 1), Flatten(), Linear("three"), LayerNorm("norm"))
STEM = StemGraph(
    (Conv("one", 2, pixels=True), Stack((BRANCH, BRANCH))),
    layer("one", 2, 1, 3, 3) | layer("two", 2, 2, 3, 3) | layer("three", 3, 8) | layer("norm", 3),
    (1, 9, 9),
    (2, 3),
)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "stem.onnx"


def model(*initializers, **fields):
    """A model of the onnx package's with these initializers."""
    graph = helper.make_graph([], "stem", [], [], initializers)
    return helper.make_model(graph, producer_name="edgerl", ir_version=8, **fields)


def test_every_operation_is_written_as_checked_onnx():
    data = export(STEM)
    read = onnx.load_from_string(data)
    onnx.checker.check_model(read, full_check=True)
    assert weights_last(read) == data
    assert [node.op_type for node in read.graph.node][:3] == ["Cast", "Constant", "Mul"]
    axes = read.graph.output[0].type.tensor_type.shape.dim
    assert [axis.dim_value or axis.dim_param for axis in axes] == ["batch", 2, 3]


ATTRIBUTES = {"whole": 3, "below": -1, "large": 2**63 - 1, "real": 1e-5, "many": [0, 300, -2], "none": 0, "zero": 0.0}


def test_a_node_has_the_bytes_of_the_onnx_package():
    arrays = {"scalar": np.float32(1 / 255), "axes": np.array([1, -1])}
    tensors = {name: numpy_helper.from_array(np.array(array)) for name, array in arrays.items()}
    ours = model_file.node("Any", ["x", "größe"], "y", ATTRIBUTES | {name: np.array(arrays[name]) for name in arrays})
    assert ours == helper.make_node("Any", ["x", "größe"], ["y"], **ATTRIBUTES, **tensors).SerializeToString()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_an_input_has_the_bytes_of_the_onnx_package(dtype):
    kind = helper.np_dtype_to_tensor_dtype(dtype)
    assert model_file.data_type(dtype) == kind
    for shape in (["batch", 4, 84, 84], [300], []):
        theirs = helper.make_tensor_value_info("windows", kind, shape)
        assert model_file.value("windows", dtype, shape) == theirs.SerializeToString()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_weights_of_every_dtype_and_rank_are_written_and_read(dtype, file):
    rng = np.random.default_rng(0)
    weights = {f"w{len(shape)}": rng.integers(0, 2, shape).astype(dtype) for shape in [(), (5,), (2, 3), (4, 1, 2)]}
    weights |= {"none": np.zeros((0, 3), dtype), "other_order": weights["w2"].T, "steps": weights["w1"][::2]}
    value = model_file.value("x", dtype, ["batch"])
    data = b"".join(model_file.pieces(model_file.graph("stem", [], value, value), weights, 17))
    for read in onnx.load_from_string(data).graph.initializer:
        np.testing.assert_array_equal(numpy_helper.to_array(read), weights[read.name], strict=True)
    file.write_bytes(data)
    found = model_file.weights(file)
    assert list(found) == list(weights)
    for name, array in found.items():
        assert array.flags.writeable
        assert array.flags.aligned
        np.testing.assert_array_equal(array, weights[name], name, strict=True)


def test_weights_are_passed_on_as_views():
    weight = np.ones((300, 1000), np.float32)
    tracemalloc.start()
    pieces = list(model_file.pieces(b"", {"weight": weight}, 17))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 20_000
    assert np.shares_memory(np.frombuffer(pieces[-1], np.uint8), weight)


def test_a_dtype_that_onnx_has_not_is_refused_before_the_first_piece():
    with pytest.raises(ValueError, match="datetime64"):
        next(model_file.pieces(b"", {"day": np.zeros(1, "datetime64[D]")}, 17))


def test_files_of_the_onnx_package_are_read_in_its_order_of_fields(file):
    typed = helper.make_tensor("typed", TensorProto.FLOAT, [2, 2], [1.0, -2.0, 0.5, 3.0])
    assert len(typed.float_data) == 4
    raw = numpy_helper.from_array(np.arange(3, dtype=np.int64), "raw")
    raw.doc_string = "a field that is passed over"
    whole = model(typed, raw, model_version=2, opset_imports=[helper.make_opsetid("", 17)])
    whole.graph.doc_string = "another"
    onnx.save(whole, file)
    found = model_file.weights(file)
    assert list(found) == ["typed", "raw"]
    np.testing.assert_array_equal(found["typed"], np.float32([[1, -2], [0.5, 3]]), strict=True)
    np.testing.assert_array_equal(found["raw"], np.arange(3), strict=True)


def test_packed_integers_single_floats_and_a_split_graph_are_read_as_protobuf_says(file):
    dims, kind = protobuf.data(1, bytes([2, 1])), protobuf.integer(2, TensorProto.FLOAT)
    floats = protobuf.real(4, 1.5) + protobuf.real(4, -2)
    one = protobuf.data(5, dims + kind + floats + protobuf.text(8, "not this name") + protobuf.text(8, "one"))
    two = protobuf.data(5, numpy_helper.from_array(np.ones(3, np.float32), "two").SerializeToString())
    file.write_bytes(protobuf.data(7, one) + protobuf.integer(1, 8) + protobuf.data(7, two))
    graph = onnx.load(file).graph
    assert [numpy_helper.to_array(tensor).tolist() for tensor in graph.initializer] == [[[1.5], [-2]], [1, 1, 1]]
    found = {name: array.tolist() for name, array in model_file.weights(file).items()}
    assert found == {"one": [[1.5], [-2]], "two": [1, 1, 1]}


def test_a_file_cut_anywhere_is_named(file):
    data = export(STEM)
    for length in range(len(data)):
        file.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"stem\.onnx is no ONNX file"):
            model_file.weights(file)


@given(st.binary(max_size=300))
def test_random_bytes_are_no_onnx_file(tmp_path_factory, data):
    file = tmp_path_factory.getbasetemp() / "random.onnx"
    file.write_bytes(data)
    with pytest.raises(ValueError, match=r"random\.onnx is no ONNX file"):
        model_file.weights(file)


def test_a_file_with_a_bit_turned_is_read_or_named(file):
    data, errors = export(STEM), []
    for at, bit in enumerate(np.random.default_rng(0).integers(0, 8, len(data))):
        file.write_bytes(data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :])
        try:
            model_file.weights(file)
        except ValueError as error:
            errors.append(str(error))
    assert len(errors) > 100
    assert all(error.startswith(f"{file} is no ONNX file: ") for error in errors)


@pytest.mark.parametrize(
    "data", [b"", bytes(4096), b"no model at all", b"PK\x03\x04" + bytes(60), b"\x3a\x00", b"\xff" * 99]
)
def test_a_file_that_is_no_model_is_named(data, file):
    file.write_bytes(data)
    with pytest.raises(ValueError, match=r"stem\.onnx is no ONNX file"):
        model_file.weights(file)


def tensor(**fields):
    return TensorProto(name="odd", **{"data_type": TensorProto.FLOAT, "dims": [2], "raw_data": bytes(8)} | fields)


@pytest.mark.parametrize(
    "odd",
    [
        tensor(raw_data=bytes(7)),
        tensor(raw_data=b""),
        tensor(raw_data=b"", data_location=TensorProto.EXTERNAL),
        tensor(dims=[-1, -2]),
        tensor(dims=[2**62, 2**62]),
        tensor(dims=[0, 2**62, 2**62], raw_data=b""),
        tensor(dims=[1] * 70, raw_data=bytes(4)),
        tensor(data_type=TensorProto.BFLOAT16),
        tensor(data_type=99),
        tensor(data_type=0),
    ],
)
def test_a_weight_that_is_not_what_it_says_is_refused(odd, file):
    file.write_bytes(model(odd).SerializeToString())
    with pytest.raises(ValueError, match=r"stem\.onnx is no ONNX file"):
        model_file.weights(file)


def test_a_file_that_is_not_there_is_an_error_of_the_disk(file):
    with pytest.raises(FileNotFoundError):
        model_file.weights(file)
    with pytest.raises(IsADirectoryError):
        model_file.weights(file.parent)


@given(st.integers(-(2**63), 2**63 - 1), st.integers(1, 2**29 - 1))
def test_any_integer_in_any_field_is_read_back(value, number):
    written = memoryview(protobuf.integer(number, value) + protobuf.text(number, "x"))
    assert list(protobuf.fields(written)) == [(number, value), (number, b"x")]


def test_neither_onnx_nor_protobuf_is_imported(file):
    file.write_bytes(export(STEM))
    program = """
import sys
from pathlib import Path
from runtime import export, model_file
stem = export.StemGraph((export.Relu(),), {}, (2,), (2,))
assert export.export(stem) and model_file.weights(Path(sys.argv[1]))
print([name for name in sys.modules if name.partition(".")[0] in ("onnx", "google", "torch")])
"""
    done = subprocess.run([sys.executable, "-c", program, file], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
