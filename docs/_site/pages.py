"""MkDocs hook: pages that lie outside docs/ become part of the site, and links between all of them keep working.

A README belongs beside what it explains, so it is not copied into docs/: the site takes it from there. Links are
written as they work in the repository; here they are turned to the site's pages, and a link to any other file of the
repository (a gates file, an example) leads to a copy of that file.
"""

from __future__ import annotations

import base64
import io
import json
import re
from contextlib import redirect_stdout
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "examples/tour.ipynb": "tutorials/tour.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
    "experiments/README.md": "experiments.md",
    "model_registry/README.md": "model_registry.md",
}
"""Pages outside docs/, by their place in the repository."""

_SOURCES = {uri: source for source, uri in PAGES.items()}
_FENCE = re.compile(r"(^```.*?^```$)", re.M | re.S)
_COMMAND = re.compile(r"^\{\{ mlproject (.*) \}\}$", re.M)
_STYLE = re.compile(r"<style.*?</style>| border=\"1\"| class=\"dataframe\"", re.S)
_LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages from outside docs/, and copies of the other files that any page links to."""
    for source, uri in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        if source.endswith(".ipynb"):
            text, pictures = _page_of_notebook(json.loads(text), PurePosixPath(source).stem)
            for name, content in pictures.items():
                files.append(File.generated(config, f"tutorials/{name}", content=content))
        files.append(File.generated(config, uri, content=text))
    linked = {
        target
        for file in files.documentation_pages()
        for _, link, *_ in _LINK.findall(file.content_string)
        if (target := _in_repository(file.src_uri, link)) and not _site_uri(target, files)
    }
    for target in sorted(linked):
        files.append(File.generated(config, f"files/{target}", content=(ROOT / target).read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Any, files: Files, **_: Any) -> str:
    """Turn links that work in the repository into links of the site, and fill in what the command line says itself."""
    uri = page.file.src_uri

    def turned(match: re.Match[str]) -> str:
        target = _in_repository(uri, match[2])
        if not target:
            return match[0]
        there = _site_uri(target, files) or f"files/{target}"
        return f"{match[1]}{relpath(there, PurePosixPath(uri).parent.as_posix())}{match[3] or ''}{match[4]}"

    parts = _FENCE.split(markdown)
    parts[::2] = [_LINK.sub(turned, prose) for prose in parts[::2]]
    return _COMMAND.sub(lambda match: _printed_by(match[1].split()), "".join(parts))


def _page_of_notebook(notebook: dict[str, Any], stem: str) -> tuple[str, dict[str, bytes]]:
    """A notebook as a page, with the outputs that it holds, and its pictures by name.

    Tests execute the notebook; here it is only laid out.
    """
    parts: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {})
            if "image/png" in data:
                name = f"{stem}-{len(pictures) + 1}.png"
                pictures[name] = base64.b64decode("".join(data["image/png"]))
                parts.append(f"![What the cell above draws]({name})")
            elif "text/html" in data:
                table = _STYLE.sub("", "".join(data["text/html"]))
                parts.append("\n".join(line.strip() for line in table.splitlines() if line.strip()))
            else:
                text = "".join(output.get("text", data.get("text/plain", "")))
                parts.append(f"```text\n{text.rstrip()}\n```")
    return "\n\n".join(parts) + "\n", pictures


def _in_repository(uri: str, link: str) -> str:
    """Place in the repository of a file that a page links to; nothing for a link that leads elsewhere."""
    if "://" in link or link.startswith(("mailto:", "/")):
        return ""
    source = PurePosixPath(_SOURCES.get(uri, f"docs/{uri}"))
    target = normpath((source.parent / link).as_posix())
    return target if not target.startswith("..") and (ROOT / target).is_file() else ""


def _site_uri(target: str, files: Files) -> str:
    """The site's page for a file of the repository, where it is one."""
    uri = PAGES.get(target, target.removeprefix("docs/"))
    return uri if (target in PAGES or target.startswith("docs/")) and files.get_file_from_path(uri) else ""


def _printed_by(arguments: list[str]) -> str:
    """What a command prints, as a code block."""
    from mlproject.__main__ import main

    printed = io.StringIO()
    with redirect_stdout(printed):
        code = main(arguments)
    if code:
        raise ValueError(f"mlproject {' '.join(arguments)}: exit code {code}")
    language = "yaml" if arguments[0] == "config" else "text"
    return f"```{language}\n{printed.getvalue().rstrip()}\n```"
