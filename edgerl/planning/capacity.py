"""The ways to store a step, and how many steps of each fit a budget, before one is taken. No torch."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from edgerl.envs.base import EnvSpec
from edgerl.replay.buffer import row_dtype, step_columns
from edgerl.replay.latents import latent_field
from edgerl.replay.quantization import Scales
from edgerl.replay.representation import pixel_field
from edgerl.replay.sampling import SAMPLERS
from memory_budget import fit_rows
from memory_budget.packed import BLOCK, GROUP, layout


@dataclass(frozen=True)
class Store:
    """One way to store a step. `row`: bytes of one, the index aside, at most where rows vary in size.

    `columns`: bytes of a row by column, index and padding included; `rows`: how many are sure to fit.
    """

    stores: str
    codec: str
    row: int
    columns: dict[str, float]
    rows: int

    @property
    def varies(self) -> bool:
        """Whether rows vary in size, so that more may fit."""
        return self.codec == "lz4"


def pixels(env: EnvSpec, codec: str, sampling: str, budget: int) -> Store:
    """Frames as they are, or compressed: then a row's payload is at most a frame.

    As many rows as are sure of incompressible frames; where such follow upon well compressed ones, their heads can take
    up to a third of that for a while.
    """
    kind = SAMPLERS[sampling]
    if codec == "raw":
        return _fixed("pixels", codec, row_dtype(pixel_field(env.frame), env.action), kind.index_bytes, budget)
    found = layout(budget, [*kind.leaf, *step_columns(env.action)], prod(env.frame), kind.upper_bytes)
    row = found.head.itemsize + prod(env.frame)
    columns = _columns(found.head) | {"obs": prod(env.frame)}
    enough = found.end >= 2 * BLOCK * found.head.itemsize + 2 * GROUP * prod(env.frame)
    rows = (found.end - BLOCK * found.head.itemsize) // row - GROUP
    return Store("pixels", codec, row, columns, rows if enough else 0)


def latents(env: EnvSpec, shape: tuple[int, ...], dtype: str, sampling: str, budget: int, views: int = 0) -> Store:
    """Latents of this shape, `views` of them a row where that is not 0, as `dtype`; uint8 with its scales."""
    kind, row = SAMPLERS[sampling], row_dtype(latent_field((views, *shape) if views else shape, dtype), env.action)
    scales = Scales(shape).table.nbytes if dtype == "uint8" else 0
    return _fixed("latents", dtype, row, lambda rows: kind.index_bytes(rows) + scales, budget)


def _fixed(stores: str, codec: str, row: np.dtype[Any], index_bytes: Any, budget: int) -> Store:
    rows = fit_rows(budget, row.itemsize, index_bytes)
    columns = _columns(row)
    columns["padding"] = row.itemsize - sum(columns.values())
    columns["priority"] = round(index_bytes(rows) / rows, 2) if rows > 0 else 0
    return Store(stores, codec, row.itemsize, columns, rows)


def _columns(row: np.dtype[Any]) -> dict[str, float]:
    assert row.fields is not None  # noqa: S101
    return {name: field[0].itemsize for name, field in row.fields.items()}
