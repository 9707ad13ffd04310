"""The pages of the site that docs/ does not hold; mkdocs calls it (mkdocs.yml).

README.md is the front page. Every other file of the repository that a page links to becomes a page too, so that no link
leaves the site: nothing is fetched when it is read, and mkdocs checks every link.
"""

import json
import posixpath
import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

NAMED = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "edgerl_run/README.md": "edgerl-run.md",
    "examples/tour.ipynb": "tour.md",
}
LANGUAGES = {".cff": "yaml", ".cpp": "cpp", ".hpp": "cpp", ".kt": "kotlin", ".py": "python",
             ".service": "ini", ".swift": "swift", ".toml": "toml"}  # fmt: skip
SHORT = re.compile(r"<code>(?=[^\s<]{1,32}</code>)")
FENCE = "~" * 8
LINK = re.compile(r"\[([^\[\]]*)\]\(([^)\s#:]+)(#[^)\s]*)?\)")  # [text](path#anchor), unless the path names a scheme


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add README.md and what is linked to; raises PluginError for a link to a file that is not there."""
    root = Path(config.config_file_path).parent
    waiting = ["README.md", *(f"docs/{file.src_uri}" for file in files.documentation_pages())]
    seen = set(waiting)
    while waiting:
        name = waiting.pop()
        if not (name.startswith("docs/") and name.endswith(".md")):
            files.append(_page(root, name, config))
        linked = _linked(root, name) - seen
        seen |= linked
        waiting += sorted(linked)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links point at pages of the site, wherever their files lie, and show the titles of these, not their names."""
    site, titles = page.file.src_uri, _titles(config.nav)
    name = next((name for name, named in NAMED.items() if named == site), f"docs/{site}")
    if site.startswith("source/"):
        return markdown

    def moved(link: re.Match[str]) -> str:
        text, path, anchor = link.groups(default="")
        file = _resolved(name, path)
        target = _site_path(file)
        shown = titles.get(target, text) if text in (path, file) else text
        return f"[{shown}]({posixpath.relpath(target, posixpath.dirname(site) or '.')}{anchor})"

    return LINK.sub(moved, markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Mark names and options, which browsers would break behind a dash."""
    return SHORT.sub('<code class="short">', html)


def _titles(nav: list[dict[str, Any]]) -> dict[str, str]:
    """The title of each page in the navigation: a list of {title: page} and {section: list}."""
    pages: dict[str, str] = {}
    for title, inner in (pair for entry in nav for pair in entry.items()):
        pages |= {inner: title} if isinstance(inner, str) else _titles(inner)
    return pages


def _resolved(name: str, link: str) -> str:
    """The file in the repository that a link in the file `name` means."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), link))


def _site_path(name: str) -> str:
    """Where the site has a file of the repository."""
    if name.startswith("docs/"):
        return name.removeprefix("docs/")
    return NAMED.get(name, f"source/{name}.md")


def _linked(root: Path, name: str) -> set[str]:
    """The files outside docs/ that a Markdown file links to."""
    if not name.endswith(".md"):
        return set()
    links = LINK.findall((root / name).read_text(encoding="utf-8"))
    linked = {resolved for _, path, _ in links if not (resolved := _resolved(name, path)).startswith("docs/")}
    if missing := [resolved for resolved in sorted(linked) if not (root / resolved).is_file()]:
        raise PluginError(f"{name} links to what is not there: {', '.join(missing)}")
    return linked


def _page(root: Path, name: str, config: MkDocsConfig) -> File:
    """The page of a file outside docs/: Markdown as it is, a notebook by cells, anything else in a block of code."""
    text = (root / name).read_text(encoding="utf-8")
    if name.endswith(".md"):
        return File.generated(config, _site_path(name), content=text)
    if name.endswith(".ipynb"):
        cells = [("".join(cell["source"]), cell["cell_type"]) for cell in json.loads(text)["cells"]]
        parts = [part if kind == "markdown" else f"{FENCE}python\n{part}\n{FENCE}" for part, kind in cells]
        return File.generated(config, _site_path(name), content="\n\n".join(parts))
    language = LANGUAGES.get(PurePosixPath(name).suffix, "text")
    content = f"---\nsearch:\n  exclude: true\n---\n# {name}\n\n{FENCE}{language}\n{text}\n{FENCE}\n"
    return File.generated(config, _site_path(name), content=content, inclusion=InclusionLevel.NOT_IN_NAV)
