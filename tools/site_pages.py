"""The pages of the site that docs/ does not hold; mkdocs calls it (mkdocs.yml).

README.md is the front page. Every other file of the repository that a page links to becomes a page too, so that no link
leaves the site: nothing is fetched when it is read, and mkdocs checks every link.
"""

import posixpath
import re
from pathlib import Path, PurePosixPath

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
}
LANGUAGES = {".cff": "yaml", ".cpp": "cpp", ".hpp": "cpp", ".ipynb": "json", ".kt": "kotlin", ".py": "python",
             ".service": "ini", ".swift": "swift", ".toml": "toml"}  # fmt: skip
FENCE = "~" * 8
LINK = re.compile(r"(?<=\]\()([^)\s#:]+)(#[^)\s]*)?(?=\))")  # in "](path#anchor)", unless it names a scheme


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
    """Let links point at pages of the site, wherever the files that they name lie in the repository."""
    site = page.file.src_uri
    name = next((name for name, named in NAMED.items() if named == site), f"docs/{site}")
    if site.startswith("source/"):
        return markdown

    def moved(link: re.Match[str]) -> str:
        target = _site_path(_resolved(name, link[1]))
        return posixpath.relpath(target, posixpath.dirname(site) or ".") + (link[2] or "")

    return LINK.sub(moved, markdown)


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
    linked = {resolved for link, _ in links if not (resolved := _resolved(name, link)).startswith("docs/")}
    if missing := [resolved for resolved in sorted(linked) if not (root / resolved).is_file()]:
        raise PluginError(f"{name} links to what is not there: {', '.join(missing)}")
    return linked


def _page(root: Path, name: str, config: MkDocsConfig) -> File:
    """The page of a file outside docs/: Markdown as it is, anything else in a block of code."""
    text = (root / name).read_text(encoding="utf-8")
    if name.endswith(".md"):
        return File.generated(config, _site_path(name), content=text)
    language = LANGUAGES.get(PurePosixPath(name).suffix, "text")
    content = f"---\nsearch:\n  exclude: true\n---\n# {name}\n\n{FENCE}{language}\n{text}\n{FENCE}\n"
    return File.generated(config, _site_path(name), content=content, inclusion=InclusionLevel.NOT_IN_NAV)
