"""The report as one self-contained page, which needs no network and no other file."""

import base64
from importlib import resources
from pathlib import Path

from edgerl import reading
from edgerl.errors import ConfigError
from edgerl.experiments.reports.contents import Contents
from edgerl.experiments.reports.formats.style import COLOURS, FAR, FEW, INSTALL, ROOM, VEIL, VEILS
from edgerl.experiments.reports.groups import AXES
from edgerl.runs import strict_json

STYLE = {"colours": COLOURS, "far": FAR, "few": FEW, "room": ROOM, "veil": VEIL, "veils": VEILS}  # as in a picture
PNG, MOST_PNG = b"\x89PNG\r\n\x1a\n", 32 * 2**20  # how one begins; bytes


def page(contents: Contents) -> str:
    """The page's HTML, about 5 MB: nearly all of it is the plotting library (plotly.js)."""
    try:
        import jinja2
        import plotly
    except ImportError as error:
        raise ConfigError(f"--format: html needs the package {error.name}: {INSTALL}") from None
    sections = [
        section.curves | {"analyses": [run.curves for run in section.analyses]} for section in contents.sections
    ]
    library = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    template = jinja2.Environment(autoescape=True, trim_blocks=True).from_string(_text("page.html"))
    return template.render(
        **vars(contents),
        axes=AXES,
        style=_text("page.css"),
        script=_text("page.js"),
        library=library.read_text(encoding="utf-8"),
        data=_script_json({"sections": sections, "style": STYLE}),
        inlined=_inlined,
    )


def _inlined(image: str) -> str:
    """A PNG as a data URL, which is empty if the file cannot be read any more, or is none."""
    try:
        content = reading.content(Path(image), MOST_PNG)
    except (OSError, ValueError):
        content = b""
    if not content.startswith(PNG):
        return "data:,"
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def _text(name: str) -> str:
    """The text of a file in this folder."""
    return resources.files("edgerl.experiments.reports.formats").joinpath(name).read_text(encoding="utf-8")


def _script_json(value: object) -> str:
    """JSON that is safe in a script element, whatever strings it has."""
    return strict_json.dumps(value, compact=True).replace("<", "\\u003c")
