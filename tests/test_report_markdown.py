"""The report as Markdown of folders that hold anything: no HTML, no link, and no heading but the report's own."""

import json

from edgerl.experiments.reports import write

HOSTILE = "<img src=x onerror=alert(1)>"
ANALYSIS = {
    "frozen_at": 300,
    "observations": {"played_by_step": 1, "random_actions": 0.2, "windows": 3, "episodes": 1, "crops": 1},
    "gap": 100,
    "layers": [
        {"name": HOSTILE, "part": "stem", "neurons": 4, "untrained": 0.5, "scores": [{"from": 1, "score": 0.9}]}
    ],
    "attention": {"layer": f"[a](http://b) {HOSTILE}", "moved": [{"from": 1, "moved": 0.1}]},
    "rule": {"similarity": 0.9, "movement": 0.1},
    "safe": {"step": None, "text": f"# Owned\n{HOSTILE}"},
    "notes": [f"```\n\n## Owned {HOSTILE}"],
}


def test_what_a_folder_holds_is_text(another, real, tmp_path):
    whole = json.loads((real / "summary.json").read_text())
    settings = {"env": f"mine{HOSTILE}:make", "encoder_from": "a\n# Owned"}
    freeze, versions = {"step": 300, "why": f"calm\n\n# Owned {HOSTILE}"}, {HOSTILE: "![a](http://b)"}
    folder = another("run", settings=settings, freeze=whole["freeze"] | freeze, versions=versions)
    (folder / "analysis.json").write_text(json.dumps(ANALYSIS))
    write.write([folder], tmp_path / "r.md", title=f"Mine\n# Owned {HOSTILE}")
    outside, headings = [], []
    for line in (tmp_path / "r.md").read_text().splitlines():
        (headings if line.startswith("#") else outside).append(line)
    assert not any(line.startswith("```") for line in outside)
    assert "<" not in "".join(line for line in outside + headings if not line.startswith("    "))
    assert "](" not in "".join(outside)
    assert not any(heading.lstrip("# ").startswith("Owned") for heading in headings)
    assert "\\# Owned" in (tmp_path / "r.md").read_text()  # the analysis's sentence, as it is
