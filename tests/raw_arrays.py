"""The large arrays of a checkpoint, for several tests: some have a file of their own, others lie in segments."""

import json

import numpy as np

from edgerl.runs import segments


def raw_arrays(place):
    """The bytes of all large arrays in the checkpoint `place`, uint8 by name."""
    own = {file.stem: np.fromfile(file, np.uint8) for file in place.glob("*.raw")}
    for name, layout in segments.layouts(json.loads((place / "state.json").read_text())).items():
        own[name] = np.zeros(layout.stop - layout.start, np.uint8)
        segments.read(place.parent, layout, own[name])
    return own


def files_of(place, name):
    """The files in which the array `name` of the checkpoint `place` lies, in order."""
    layout = segments.layouts(json.loads((place / "state.json").read_text()))[name]
    return [place.parent / "segments" / piece.sha256 for piece in layout.pieces]
