"""The ways to store a step, and how many steps of each way fit a budget; planned before a run. No torch."""

from collections.abc import Callable
from dataclasses import dataclass, replace
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
from memory_budget.packed import GROUP
from memory_budget.packed_layout import BLOCK, layout


@dataclass(frozen=True)
class Store:
    """One way to store a step. `stores`: pixels or latents; `codec`: how they are packed.

    `row_bytes`: of one row without its part of the index; the most it can be if rows vary in size. `columns`: bytes of
    a row by column, index and padding included. `rows`: how many are sure to fit.
    """

    stores: str
    codec: str
    row_bytes: int
    columns: dict[str, float]
    rows: int

    @property
    def varies(self) -> bool:
        """Whether rows vary in size, so that more may fit."""
        return self.codec == "lz4"

    def times(self, count: int) -> "Store":
        """So many stores like this one, together."""
        return replace(self, rows=count * self.rows)


def pixel_store(env: EnvSpec, codec: str, sampling: str, budget: int) -> Store:
    """Frames, raw or compressed; a compressed row's payload is at most a frame.

    `rows` of compressed frames counts frames that do not compress. Such frames after well compressed ones fit fewer
    for a while: the heads already there take up to a third of the room.
    """
    sampler = SAMPLERS[sampling]
    if codec == "raw":
        return _fixed_size("pixels", codec, row_dtype(pixel_field(env.frame), env.action), sampler.index_bytes, budget)
    frame_bytes = prod(env.frame)
    packed = layout(budget, [*sampler.leaf, *step_columns(env.action)], frame_bytes, sampler.upper_bytes)
    head_bytes = packed.head.itemsize
    enough = packed.end >= 2 * BLOCK * head_bytes + 2 * GROUP * frame_bytes
    row_bytes = head_bytes + frame_bytes
    rows = (packed.end - BLOCK * head_bytes) // row_bytes - GROUP
    return Store("pixels", codec, row_bytes, _columns(packed.head) | {"obs": frame_bytes}, rows if enough else 0)


def latent_store(
    env: EnvSpec, shape: tuple[int, ...], dtype: str, sampling: str, budget: int, *, views: int = 0
) -> Store:
    """Latents of this shape as `dtype`, uint8 with its scales; `views` of them in a row (0: one, without that axis)."""
    sampler, row = SAMPLERS[sampling], row_dtype(latent_field((views, *shape) if views else shape, dtype), env.action)
    scales_bytes = Scales(shape).table.nbytes if dtype == "uint8" else 0
    return _fixed_size("latents", dtype, row, lambda rows: sampler.index_bytes(rows) + scales_bytes, budget)


def _fixed_size(stores: str, codec: str, row: np.dtype[Any], index_bytes: Callable[[int], int], budget: int) -> Store:
    """A store whose rows all have the size of `row`."""
    rows = fit_rows(budget, row.itemsize, index_bytes)
    columns = _columns(row)
    columns["padding"] = row.itemsize - sum(columns.values())
    columns["priority"] = round(index_bytes(rows) / rows, 2) if rows > 0 else 0
    return Store(stores, codec, row.itemsize, columns, rows)


def _columns(row: np.dtype[Any]) -> dict[str, float]:
    """Bytes of a row by column."""
    assert row.fields is not None  # noqa: S101
    return {name: field[0].itemsize for name, field in row.fields.items()}
