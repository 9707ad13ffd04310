"""Run folders that nothing can be made of."""

import shutil


def empty(folder):
    shutil.rmtree(folder / "checkpoint")


def no_run(folder):
    shutil.rmtree(folder)


def damaged(folder):
    for file in (folder / "checkpoint").glob("*/weights.safetensors"):
        file.write_bytes(b"damaged")
