"""Options that several commands share."""

from typing import Annotated

import typer

Cut = Annotated[
    str | None, typer.Option(help="the encoder's last frozen layer, such as conv1, block2 or last (the default)")
]
StoreOption = Annotated[
    str | None,
    typer.Option(help="what the replay holds after T_f (default: the preset's)", metavar="auto|pixels|latents"),
]
PixelCodec = Annotated[
    str | None, typer.Option(help="how frames are stored (default: the preset's)", metavar="raw|lz4")
]
LatentDtype = Annotated[
    str | None, typer.Option(help="how latents are stored (default: the preset's)", metavar="float32|float16|uint8")
]
BatchAfter = Annotated[int | None, typer.Option(help="rows a batch holds after T_f (default: as before it)")]
Paper = Annotated[bool, typer.Option("--paper", help="store as the paper does: raw frames, float32 latents")]
