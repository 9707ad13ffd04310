"""The report as Markdown, for an issue or a README, and as JSON, for programs."""

from dataclasses import asdict

from edgerl.experiments.reports.contents import Contents
from edgerl.experiments.reports.tables import Table
from edgerl.output.messages import printable
from edgerl.runs import strict_json


def markdown(contents: Contents) -> str:
    """The tables and commands as Markdown, without the curves."""
    parts = [f"# {contents.title}", contents.subtitle, *(table_text(table) for table in contents.overall)]
    for section in contents.sections:
        parts += [f"## {section.env}", *map(table_text, (section.scores, *section.comparisons, section.cost))]
        for analysis in section.analyses:
            parts += [f"### {analysis.name}: {contents.analysis_title}", analysis.safe, table_text(analysis.table)]
    parts.append("## Repeat it")
    for commands in contents.commands:
        parts += [f"{commands.name}:", "\n".join(f"    {line}" for line in commands.lines)]
    parts += [table_text(table) for table in (*contents.versions, contents.left_out) if table]
    lines = "\n\n".join(parts).split("\n")
    return "\n".join(map(printable, lines)) + "\n"


def as_json(contents: Contents) -> str:
    """Everything that the page shows, as JSON: tables and curves."""
    return strict_json.dumps(asdict(contents), indent=1) + "\n"


def table_text(table: Table) -> str:
    """One table as Markdown, with its title above it and its notes below."""
    lines = [f"### {table.title}", "", _row(table.head), _row(["---"] * len(table.head)), *map(_row, table.rows)]
    return "\n".join(lines + (["", table.notes] if table.notes else []))


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _cell(text: str) -> str:
    """A text on one line, that ends no cell and is no HTML."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
