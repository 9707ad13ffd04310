"""The replay beside those of public libraries: bytes a transition, adds/s and transitions/s, on the same Qbert play.

At equal bytes (0.07 GB) and at equal count (10,000 transitions). Every store has one thread and a process of its own.
One-step windows, batches of 32. B a row: what the store asks for, over the transitions it holds then, by its first
2,048 if it grows with their content; resident: what the process grew by until the store was full, over the same. The
other libraries take whole windows and give NumPy arrays (cpprb) or CPU tensors (the rest); ours takes frames and gives
NumPy arrays. Missing libraries are named, with the command that installs them; `make peers` makes an environment of
their own, .venv-peers.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peer_stores import BATCH, GAME, PEERS, SPEC, Peer
from replays import ADDS, BUDGETS, Play, StoreSpeed, empty, fill, head, line, pixels_of, played, timed

import edgerl
from edgerl.config.replay_settings import ReplayConfig
from edgerl.training.policy import Policy
from edgerl.types import Array
from memory_budget import format_bytes, rss_bytes
from memory_budget.malloc import SCRATCH_BLOCK, keep_blocks, trim

COUNT, SAMPLED = 10_000, 2048  # transitions: of every store at equal count; by which a store that grows is sized
OURS: dict[str, dict[str, Any]] = {
    f"edgerl {codec}, {sampling}": {"pixel_codec": codec, "sampling": sampling}
    for sampling in ("prioritized", "uniform")
    for codec in ("raw", "lz4")
}


def resident() -> int:
    """Resident bytes, without free blocks that malloc keeps."""
    trim()
    return rss_bytes()


def ours(play: Play, config: ReplayConfig, budget: int) -> StoreSpeed:
    """A store of this project in `budget` bytes."""
    before = resident()
    replay = empty(SPEC, config, config.pixel_codec, budget)
    speed = fill(replay, play, play.frames)
    grown = resident() - before
    return replace(speed, resident=grown, seconds=timed(lambda: replay.sample(BATCH, 0.4)))


def transitions(play: Play, kind: Peer, begin: int) -> list[tuple[Array, int, float, Array, bool, bool]]:
    """ADDS transitions of the play from number `begin` on, round and round: what `Peer.add` takes, in its order."""
    steps, pixels = np.flatnonzero(~play.last), pixels_of(SPEC, edgerl.configure(env=GAME).replay, "raw")
    numbers = steps[np.arange(begin, begin + ADDS) % len(steps)]
    after = np.minimum(numbers + 1, len(play) - 1)
    goes_on = play.first[after] == play.first[numbers]
    newest = play.frames[np.where(goes_on, after, numbers)]  # what followed a terminal step was not kept
    windows = play.windows(numbers, pixels)
    obs, next_obs = map(kind.windows, (windows, np.concatenate([windows[:, 1:], newest[:, None]], axis=1)))
    done = play.terminated[numbers]
    end = done | play.last[after]
    columns = obs, play.action[numbers].tolist(), play.reward[numbers].tolist(), next_obs, done.tolist(), end.tolist()
    return list(zip(*columns, strict=True))


def feed(play: Play, peer: Peer, begin: int) -> float:
    """Put ADDS transitions of the play into a store; returns how many a second."""
    rest = transitions(play, peer, begin)
    started = time.perf_counter()
    for obs, action, reward, next_obs, done, end in rest:
        peer.add(obs, action, reward, next_obs, done=done, end=end)
    return ADDS / (time.perf_counter() - started)


def asked(kind: type[Peer], rows: int, play: Play) -> int:
    """Bytes that Python, NumPy and torch are asked for by such a store of `rows` transitions, when it is full."""
    feed(play, kind(ADDS), 0)  # imports
    tracemalloc.start()
    peer = kind(rows)
    nbytes, fed = tracemalloc.get_traced_memory()[0], 0
    while kind.grows and fed < SAMPLED:
        feed(play, peer, fed)
        fed += ADDS
    grown = tracemalloc.get_traced_memory()[0] - nbytes
    tracemalloc.stop()
    if not fed:
        feed(play, peer, 0)  # tensors that are made at the first add
    return nbytes + grown * rows // max(1, fed) + peer.tensor_bytes()


def theirs(play: Play, kind: type[Peer], budget: int, rows: int) -> StoreSpeed:
    """A library's store of `rows` transitions; 0: as many as `budget` bytes hold."""
    rows = rows or budget * COUNT // asked(kind, COUNT, play)
    nbytes = asked(kind, max(rows, SAMPLED), play) * rows // max(rows, SAMPLED)
    before, peer, fed, adds = resident(), kind(rows), 0, list[float]()
    while fed < rows + 16 * ADDS:
        speed = feed(play, peer, fed)
        adds += [speed] * (fed >= rows)
        fed += ADDS
    return measured(play, peer, StoreSpeed(rows=rows, nbytes=nbytes, fed=fed, adds=statistics.median(adds)), before)


def budgeted(play: Play, kind: type[Peer], budget: int) -> StoreSpeed:
    """A store that decides itself how many transitions are in `budget` bytes, once it is full."""
    feed(play, kind(budget), 0)  # imports
    before, peer, fed, adds, rows = resident(), kind(budget), 0, list[float](), list[int]()
    while len(adds) < 16 or fed < 1.1 * rows[0]:
        speed = feed(play, peer, fed)
        held, full = peer.rows()
        if full:
            adds.append(speed)
            rows.append(held)
        fed += ADDS
    full_store = StoreSpeed(rows=min(rows), nbytes=budget, fed=fed, adds=statistics.median(adds))
    return measured(play, peer, full_store, before)


def measured(play: Play, peer: Peer, speed: StoreSpeed, before: int) -> StoreSpeed:
    """The same with passes of the play instead of transitions fed, what the process grew by, and a batch's seconds."""
    grown = resident() - before
    return replace(speed, fed=speed.fed / (~play.last).sum(), resident=grown, seconds=timed(peer.sample))


def child(store: str, file: str, budget: int, rows: int) -> None:
    """Measure one store on the play in a file, and print JSON."""
    keep_blocks(SCRATCH_BLOCK)
    torch.set_num_threads(1)
    config = replace(edgerl.configure(env=GAME).replay, n_step=1, **OURS.get(store, {}))
    with np.load(file) as arrays:
        play = Play(**arrays)
    if store in OURS:
        speed = ours(play, config, budget)
    elif PEERS[store][1].budgeted:
        speed = budgeted(play, PEERS[store][1], budget)
    else:
        speed = theirs(play, PEERS[store][1], budget, rows)
    print(json.dumps(asdict(speed)))


def wanted(stores: list[str]) -> list[str]:
    """The stores whose names hold one of these words, all without any; those not installed are named, and left out."""
    chosen = [store for store in [*OURS, *PEERS] if not stores or any(word in store for word in stores)]
    for store in list(chosen):
        package = PEERS[store][0] if store in PEERS else None
        if package and importlib.util.find_spec(package[0]) is None:
            print(f"{store:33}not installed: pip install {package[1]}")
            chosen.remove(store)
    return chosen


def measure(policy: Policy | None, steps: int | None, stores: list[str], equal: str) -> None:
    """Print the rows of every store, at equal bytes and at equal count."""
    _, play, who = played(GAME, policy, steps)
    budget, row_bytes = BUDGETS["atari"], dict[str, float]()
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/play.npz"
        np.savez(file, **vars(play))
        for title, rows in ((f"equal bytes, {format_bytes(budget)}", 0), (f"equal count, {COUNT:,}", COUNT)):
            if rows and equal == "bytes":
                break
            print(f"\n{GAME} at {title}, one-step windows, batches of {BATCH}; {who}")
            for store in wanted(stores):
                own = store in OURS or PEERS[store][1].budgeted
                nbytes = round(row_bytes[store] * rows) if rows and own else budget
                command = [sys.executable, __file__, "--child", store, file, str(nbytes), str(rows)]
                ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                speed = StoreSpeed(**json.loads(ran.stdout.splitlines()[-1]))
                row_bytes[store] = speed.nbytes / speed.rows
                print(line(store, speed, BATCH), flush=True)


def main() -> None:
    """Print one table."""
    if sys.argv[1:2] == ["--child"]:
        store, file, *numbers = sys.argv[2:]
        child(store, file, *map(int, numbers))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a run of Qbert, whose policy plays")
    parser.add_argument("--frames", type=int, help="steps of play; without it 20,000")
    parser.add_argument("--stores", nargs="+", default=[], help="words in the names of stores; without them all")
    parser.add_argument("--equal", choices=("bytes", "both"), default="both", help="at equal bytes alone, or count too")
    args = parser.parse_args()
    print(head())
    measure(Policy(args.run) if args.run else None, args.frames, args.stores, args.equal)


if __name__ == "__main__":
    main()
