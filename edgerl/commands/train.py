"""`edgerl train`: the options of a run, and what is said of it at its end."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from edgerl.commands.options import BatchAfter, Cut, LatentDtype, Paper, PixelCodec, StoreOption
from edgerl.config import resolve
from edgerl.runs.status import EXIT_CODES
from edgerl.runs.terminal import warn
from memory_budget import Watchdog


def train(
    env: Annotated[
        str | None,
        typer.Option(help="such as atari/qbert (the default), dmc/cartpole-swingup, gym/CartPole-v1 or toy/catch"),
    ] = None,
    algo: Annotated[
        str | None, typer.Option(help="rainbow or dqn; curl or sac where actions are vectors (default: the preset's)")
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(help="data_efficient, canonical, curl, impala or module:callable (default: the preset's)"),
    ] = None,
    cut: Cut = None,
    budget: Annotated[
        str | None, typer.Option(help="bytes the replay holds, such as 0.07GB, or unbounded (default: the preset's)")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="a board or phone (see edgerl devices), or a profile's file")
    ] = None,
    process_limit: Annotated[
        str | None, typer.Option(help="bytes the process tree may hold (default: what the device leaves)")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="agent steps (default: the preset's)")] = None,
    stop_at_flops: Annotated[float | None, typer.Option(help="end at this many multiply-adds, such as 45e12")] = None,
    freeze_at: Annotated[
        str | None, typer.Option(help="T_f in agent steps, or never (default: the preset's)", metavar="N|never")
    ] = None,
    encoder_from: Annotated[
        str | None, typer.Option(help="begin with the networks of another run, in this folder", metavar="RUN")
    ] = None,
    transfer: Annotated[
        str | None, typer.Option(help="which of them (default: encoder)", metavar="all|encoder")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="rows a batch holds (default: the preset's)")] = None,
    batch_size_after_freeze: BatchAfter = None,
    store: StoreOption = None,
    pixel_codec: PixelCodec = None,
    latent_dtype: LatentDtype = None,
    paper: Paper = False,
    seed: Annotated[int | None, typer.Option(help="seeds environment, replay and agent (default: 0)")] = None,
    threads: Annotated[int | None, typer.Option(help="compute threads (default: the device's, or all cores)")] = None,
    accelerator: Annotated[
        str | None, typer.Option(help="where torch trains: cpu (the default), cuda or auto", metavar="cpu|cuda|auto")
    ] = None,
    ort_provider: Annotated[
        str | None, typer.Option(help="who encodes for ONNX Runtime after T_f (default: cpu)", metavar="cpu|cuda|...")
    ] = None,
    action_repeat: Annotated[
        int | None, typer.Option(help="env steps that an action of dmc lasts (default: the preset's)")
    ] = None,
    sticky_actions: Annotated[
        float | None, typer.Option(help="probability that Atari repeats the last action (default: 0)")
    ] = None,
    full_action_set: Annotated[
        bool | None, typer.Option("--full-action-set", help="all 18 Atari actions, not the game's own")
    ] = None,
    eval_every: Annotated[int | None, typer.Option(help="agent steps between evaluations; 0: none")] = None,
    eval_episodes: Annotated[int | None, typer.Option(help="whole games an evaluation plays")] = None,
    checkpoint_every: Annotated[int | None, typer.Option(help="agent steps between checkpoints; 0: ends only")] = None,
    snapshot_every: Annotated[int | None, typer.Option(help="steps between weights kept for analyze; 0: none")] = None,
    config: Annotated[Path | None, typer.Option(help="a TOML file of settings, such as a run's config.toml")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="any setting: replay.n_step=10", metavar="KEY=VALUE")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="run folder (default: runs/<env>__<algo>__<seed>__<time>)")] = None,
    resume: Annotated[Path | None, typer.Option(help="go on with the run in this folder", metavar="RUN")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="print nothing but errors")] = False,
) -> None:
    """Train an agent; the encoder freezes at T_f and the replay turns from pixels to latents in the same bytes."""
    settings = {name: value for name, value in locals().items() if name not in ("config", "set_", "out", "resume")}
    settings.pop("quiet")
    if resume is not None:
        chosen = resolve.resumed(resume, settings | {"out": out, "config": config, "set": set_})
        notes: list[str] = []
    else:
        chosen, notes = resolve.started(settings, config, set_ or [])
    from rich.console import Console

    from edgerl.runs.folder import default_folder
    from edgerl.training import summary
    from edgerl.training import train as training

    for note in notes if not quiet else []:
        warn(note)
    folder = resume or out or default_folder(chosen)
    found = training.train(chosen, folder, resume=resume is not None, quiet=quiet)
    if not quiet:
        summary.show(found, folder, Console(highlight=False))
    if found["status"] == "memory-limit":
        warn(
            f"the process tree reached {Watchdog.LEAVE:.0%} of its limit of {found['memory']['limit_bytes']:,} bytes; "
            f"checkpoint saved in {folder / found['checkpoint']}"
        )
    if found["status"] == "interrupted":
        warn(f"interrupted; checkpoint saved in {folder / found['checkpoint']}")
    sys.exit(EXIT_CODES[found["status"]])
