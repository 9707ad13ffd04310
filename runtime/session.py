"""A frozen stem as an ONNX Runtime session."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from runtime.onnx_runtime import onnxruntime

CPU = "CPUExecutionProvider"
OPTIONS = {"CUDAExecutionProvider": {"use_tf32": "0"}}  # the 10 bits of mantissa of TF32 would fail parity


class Session:
    """Encodes windows without torch: call it with [B, ...] as the model's input dtype, get float32 [B, *shape].

    `shape`: of the latent of one window; `most`: how many windows are encoded at a time, which bounds the memory;
    `provider`: the execution provider that runs what it can of the model, while the CPU runs the rest. ONNX Runtime's
    arena is off and its idle threads sleep, so that memory and cores belong to the training. Raises ValueError if this
    build has no such provider, and onnxruntime's error for a file that is no model.
    """

    def __init__(self, model: Path | bytes, threads: int = 1, most: int | None = None, provider: str = CPU) -> None:
        self.most, self.provider = most, provider
        available = onnxruntime.get_available_providers()
        if provider not in available:
            raise ValueError(f"{provider} is not in this build of ONNX Runtime, which has {', '.join(available)}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4  # what fails is raised, and told in one line
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else _readable(model),
            options,
            providers=[(name, OPTIONS.get(name, {})) for name in dict.fromkeys([provider, CPU])],
            enable_fallback=0,  # a fallback would hide a provider's failure; see runtime.providers
        )
        self._input, outputs = self._session.get_inputs()[0].name, self._session.get_outputs()
        self._outputs, self.shape = [output.name for output in outputs], tuple(outputs[0].shape[1:])

    @property
    def metadata(self) -> dict[str, str]:
        """What the model's file says of itself: its entries by key."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def outputs(self, windows: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
        """All outputs of the model by name, of windows [B, ...] in one call."""
        return dict(zip(self._outputs, self._session.run(None, {self._input: windows}), strict=True))

    def __call__(self, windows: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        most = self.most or len(windows)
        if len(windows) <= most:
            whole: npt.NDArray[np.float32] = self._session.run(None, {self._input: windows})[0]
            return whole
        latents = np.empty((len(windows), *self.shape), np.float32)
        for low in range(0, len(windows), most):
            latents[low : low + most] = self(windows[low : low + most])
        return latents


def _readable(file: Path) -> str | bytes:
    """A file as ONNX Runtime opens it: by its path, or by its bytes if the path is no UTF-8."""
    try:
        str(file).encode()
    except UnicodeEncodeError:
        return file.read_bytes()
    return str(file)
