"""Writes a report on runs: one page, Markdown, a picture or JSON."""

from collections.abc import Iterable
from pathlib import Path

from edgerl.config.values import nearest
from edgerl.errors import ConfigError
from edgerl.runs.files import check_output, write_whole

FORMATS = {"html": ".html", "md": ".md", "json": ".json", "png": ".png"}


def write(paths: Iterable[Path], out: Path, form: str | None = None, title: str | None = None) -> list[tuple[str, str]]:
    """Write the report on these runs and sweeps to `out`, whole or not at all; returns what was left out, and why.

    `form`: one of FORMATS, by default that of `out`'s ending. Raises ConfigError, in one line, if it is none of them,
    if `out` cannot be written, or if there is no finished run.
    """
    form = form or next((name for name, suffix in FORMATS.items() if suffix == out.suffix.lower()), None)
    if form is None:
        raise ConfigError(f"--out: {out} ends in none of {', '.join(FORMATS.values())}; --format says what it is")
    if form not in FORMATS:
        raise ConfigError(f"--format: unknown format {form!r}{nearest(form, FORMATS)}; there are {', '.join(FORMATS)}")
    check_output("--out", out)
    import numpy as np

    from edgerl.experiments.reports import contents, reading

    loaded = reading.read(paths)
    with np.errstate(all="ignore"):  # scores may be as large as floats are
        collected = contents.collect(loaded, title)
    if form == "png":
        from edgerl.experiments.reports.formats.picture import picture

        content = picture(collected)
    elif form == "html":
        from edgerl.experiments.reports.formats.page import page

        content = page(collected).encode(errors="replace")
    else:
        from edgerl.experiments.reports.formats import text

        content = (text.markdown if form == "md" else text.as_json)(collected).encode(errors="replace")
    try:
        write_whole(out.resolve(), content)
    except OSError as error:
        raise ConfigError(f"--out: {out} cannot be written: {error.strerror}") from None
    return loaded.left_out
