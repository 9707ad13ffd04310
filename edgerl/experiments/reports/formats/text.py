"""The report as Markdown, for an issue or a README, and as JSON, for programs."""

import re
from dataclasses import asdict

from edgerl.experiments.reports.contents import Contents
from edgerl.experiments.reports.tables import Table
from edgerl.output.messages import printable
from edgerl.runs import strict_json


def markdown(contents: Contents) -> str:
    """The tables and commands as Markdown, without the curves."""
    parts = [f"# {_line(contents.title)}", _line(contents.subtitle), *(table_text(table) for table in contents.overall)]
    for section in contents.sections:
        parts += [f"## {_line(section.env)}", *map(table_text, (section.scores, *section.comparisons, section.cost))]
        for analysis in section.analyses:
            heading = f"### {_line(analysis.name)}: {_line(contents.analysis_title)}"
            parts += [heading, _line(analysis.safe), table_text(analysis.table)]
    parts.append("## Repeat it")
    for commands in contents.commands:
        lines = "\n".join(commands.lines).splitlines()  # a setting may hold the end of a line
        parts += [f"{_line(commands.name)}:", "\n".join(f"    {line}" for line in lines)]
    parts += [table_text(table) for table in (*contents.versions, contents.left_out) if table]
    return "\n".join(map(printable, "\n\n".join(parts).split("\n"))) + "\n"


def as_json(contents: Contents) -> str:
    """Everything that the page shows, as JSON: tables and curves."""
    return strict_json.dumps(asdict(contents), indent=1) + "\n"


def table_text(table: Table) -> str:
    """One table as Markdown, with its title above it and its notes below."""
    lines = [f"### {_line(table.title)}", "", _row(table.head), _row(["---"] * len(table.head)), *map(_row, table.rows)]
    return "\n".join(lines + (["", _line(table.notes)] if table.notes else []))


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(_inline(cell).replace("|", "\\|") for cell in cells) + " |"


def _line(text: str) -> str:
    """A text, which may be anybody's, on one line: no heading or other block either."""
    return re.sub(r"^(?=[#>`~=+*-])", r"\\", _inline(text))


def _inline(text: str) -> str:
    """A text, which may be anybody's, on one line: no HTML, no link and no picture."""
    return " ".join(text.split()).replace("<", "&lt;").replace("](", "]\\(")
