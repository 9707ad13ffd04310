"""What a report needs of the files that it reads, whoever wrote them: the shapes of their parts."""

from edgerl.reading import COUNT, NAME, NUMBER, TEXT, Each, Or

EVALUATION = {"step": COUNT, "env_steps": COUNT, "flops": NUMBER, "mean": Or(NUMBER), "training_mean?": Or(NUMBER)}
SUMMARY = {
    "status": TEXT,
    "steps": COUNT,
    "returns": [EVALUATION],
    "budget": {"ledger": Each({"planned": Or(NUMBER), "measured": Or(NUMBER)})},
    "capacity": {"initial": NUMBER, "after_freeze": Or(NUMBER), "paper_initial": NUMBER, "paper_after_freeze": NUMBER},
    "replay": {"rows": NUMBER, "bytes_per_row": NUMBER},
    "freeze": {"step": Or(COUNT), "why?": Or(TEXT)},
    "memory": {"rss_after_freeze": Or(NUMBER), "rss_peak": COUNT, "limit_bytes": Or(COUNT)},
    "throughput": {"steps_per_s_before": Or(NUMBER), "steps_per_s_after": Or(NUMBER)},
    "flops": {"total": NUMBER},
    "versions?": Or(Each(Or(TEXT))),
}
SWEEP = {"preset?": Or(TEXT), "scale?": Or(NUMBER), "cells": [{"folder": NAME, "variant": Or(TEXT)}]}
LAYER = {
    "name": TEXT,
    "part": TEXT,
    "neurons": COUNT,
    "untrained": Or(NUMBER),
    "scores": [{"from": COUNT, "score": Or(NUMBER)}],
    "dead?": [{"share": NUMBER}],
}
ANALYSIS = {
    "frozen_at": Or(COUNT),
    "observations": {
        "played_by_step": COUNT, "random_actions": NUMBER, "windows": COUNT, "episodes": COUNT, "crops": COUNT
    },
    "gap": COUNT,
    "layers": [LAYER],
    "attention": {"layer": TEXT, "moved": [{"from": COUNT, "moved": Or(NUMBER)}]},
    "rule": {"similarity": NUMBER, "movement": NUMBER},
    "safe": {"step": Or(COUNT), "text": TEXT},
    "notes": [TEXT],
}  # fmt: skip
