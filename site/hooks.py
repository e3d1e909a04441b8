"""Makes a site of docs/ and of the files beside it that its pages name.

Pages are written for readers of the repository: a link is a path from the page's own file. A link to a file outside docs/
leads to a page of the site, which the file becomes: a Markdown file as it is, any other as a listing. A link to what is
not there is a warning, and so an error, since the site is built strictly.
"""

import logging
import os
import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
# Markdown files outside docs/, and what their pages are called in the navigation of mkdocs.yml.
PAGES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "reporting.md",
    "clients/node/README.md": "clients/node.md",
    "clients/python/README.md": "clients/python.md",
    "clients/rust/README.md": "clients/rust.md",
    "tests/README.md": "tests.md",
}
LANGUAGES = {".py": "python", ".js": "javascript", ".rs": "rust", ".sql": "sql", ".sh": "bash", ".yml": "yaml", ".yaml": "yaml",
             ".cfg": "ini", ".json": "json", ".toml": "toml", ".html": "html"}
LINK = re.compile(r"(\]\()([^)\s]+)(\))|(\b(?:src|srcset|href)=\")([^\"]+)(\")")
FENCE = re.compile(r"^( *)(```|~~~).*?^\1\2", re.MULTILINE | re.DOTALL)

log = logging.getLogger("mkdocs.plugins.pages")
listings = {}


def links(text):
    """The links of a page that are not in its blocks of code."""
    begin = 0
    for fence in [*FENCE.finditer(text), None]:
        yield from LINK.finditer(text, begin, fence.start() if fence else len(text))
        begin = fence.end() if fence else begin


def target_of(source, link):
    """The path of a link's target in the repository, and its fragment; None for a link elsewhere."""
    path, hash_, fragment = link.partition("#")
    if not path or re.match(r"[a-z]+:|/", path):
        return None
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), path)), hash_ + fragment


def place_of(path):
    """The path in the site of a file of the repository."""
    if path in PAGES:
        return PAGES[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"source/{path}.md"


def listing(path):
    """A page that shows a file, or names what is in a folder."""
    head = f"---\nsearch:\n  exclude: true\n---\n# {path}\n\n"
    file = ROOT / path
    if file.is_dir():
        return head + "".join(f"- `{entry.name}{'/' if entry.is_dir() else ''}`\n" for entry in sorted(file.iterdir()) if entry.name != "__pycache__")
    text = file.read_text()
    if file.suffix == ".md":
        return head.removesuffix(f"# {path}\n\n") + text
    return f"{head}~~~~ {LANGUAGES.get(file.suffix, 'text')}\n{text}\n~~~~\n"


def on_files(files, config):
    found = {f"docs/{file.src_uri}" for file in files}
    texts = {source: (ROOT / source).read_text() for source in [*PAGES, *sorted(found)] if source.endswith(".md")}
    for source, place in PAGES.items():
        files.append(File.generated(config, place, content=texts[source]))
    for source in [*texts]:
        for link in links(texts[source]):
            target = target_of(source, link[2] or link[5])
            if target is None or target[0] in PAGES or target[0] in found:
                continue
            path = target[0]
            if path.startswith("docs/") or not (ROOT / path).exists():
                log.warning("%s: there is no %s", source, path)
            elif path.endswith((".svg", ".png")):
                found.add(path)
                files.append(File.generated(config, f"source/{path}", abs_src_path=str(ROOT / path)))
            else:
                found.add(path)
                files.append(File.generated(config, place_of(path), content=listing(path)))
                listings[place_of(path)] = path
    files.append(File.generated(config, "assets/site.css", abs_src_path=str(ROOT / "site" / "site.css")))
    files.append(File.generated(config, "assets/mermaid.min.js", abs_src_path=os.environ["MERMAID"]))
    return files


def on_page_markdown(markdown, page, config, files):
    here = page.file.src_uri
    # Who searches wants to use the guard, and seldom to know why it is made so.
    if here.startswith(("decisions/", "source/")) or here in ("architecture.md", "changelog.md", "tests.md"):
        page.meta["search"] = {"boost": 0.1}
    sources = {place: source for source, place in PAGES.items()}
    source = sources.get(here) or listings.get(here) or f"docs/{here}"

    def rewrite(link):
        target = target_of(source, link[2] or link[5])
        if target is None:
            return link[0]
        path = target[0]
        place = f"source/{path}" if path.endswith((".svg", ".png")) and not path.startswith("docs/") else place_of(path)
        to = posixpath.relpath(place, posixpath.dirname(here) or ".") + target[1]
        return (link[1] or link[4]) + to + (link[3] or link[6])

    parts, begin = [], 0
    for fence in [*FENCE.finditer(markdown), None]:
        end = fence.start() if fence else len(markdown)
        parts += [LINK.sub(rewrite, markdown[begin:end]), fence[0] if fence else ""]
        begin = fence.end() if fence else end
    return "".join(parts)
