"""Pages of the documentation that are made and not written, so that they cannot drift from what they are about.

MkDocs calls this (``hooks`` in mkdocs.yml). Reference pages come from the magics' parsers and the package's docstrings,
tutorials from the notebooks, the IAM policy from the requests that the code sends, benchmarks and changelog from
their own files.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import lab_pages
import magics_pages
import policy
import python_pages
import tutorial_pages
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent.parent
_MADE = re.compile(r"<!-- made: ([\w-]+) -->")
_PARTS = {
    "iam-policy": policy.as_json,
    "keys": lab_pages.keys,
    "lab-settings": lab_pages.settings,
    "settings": magics_pages.settings,
    "magics": magics_pages.overview,
    "python": python_pages.overview,
}
_outputs: dict[str, str] = {}


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made."""
    pages: dict[str, str | bytes] = {**magics_pages.pages(), **python_pages.pages()}
    tutorials = tutorial_pages.pages(ROOT / "notebooks")
    _outputs.update(tutorials.outputs)
    pages |= tutorials.files
    benchmarks = (ROOT / "benchmarks" / "README.md").read_text()
    pages["performance.md"] = "# Performance\n\n" + benchmarks.partition("\n")[2].replace("](../docs/", "](")
    pages["changelog.md"] = (ROOT / "CHANGELOG.md").read_text()
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put in the parts that are made."""
    return _MADE.sub(lambda match: _PARTS[match[1]](), markdown)


def on_page_content(html: str, **_: Any) -> str:
    """Put in what the notebooks' cells have shown, as it is: Markdown would read it."""
    return tutorial_pages.PLACE.sub(lambda match: _outputs[match[1]], html)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Refuse a page that would load anything from elsewhere."""
    loaded = re.findall(r'<(?:script|link|img|iframe)\b[^>]*?(?:src|href)="((?:https?:)?//[^"]+)"', output)
    strangers = [url for url in loaded if not url.startswith(page.canonical_url or "https://nowhere")]
    if strangers:
        raise PluginError(f"{page.file.src_uri} loads from elsewhere: {', '.join(strangers)}")
    return output


def on_post_build(config: Any, **_: Any) -> None:
    """Refuse a site with links to files that it does not have: what is put in as HTML, MkDocs does not look at."""
    site = Path(config.site_dir)
    for page in site.rglob("*.html"):
        for link in re.findall(r'(?:src|href)="([^"#?]+)', page.read_text()):
            is_local = not re.match(r"[a-z]+:|//|/", link)
            if is_local and not (page.parent / unquote(link)).exists():
                raise PluginError(f"{page.relative_to(site)} links to {link}, which is not there")


def on_pre_build(**_: Any) -> None:
    """Refuse a README that links to what is not there."""
    text = (ROOT / "README.md").read_text()
    links = re.findall(r"\]\(([^)#\s]+)", text) + re.findall(r'(?:src|srcset|href)="([^"#]+)"', text)
    missing = [link for link in links if "://" not in link and not (ROOT / link).exists()]
    if missing:
        raise PluginError(f"README.md links to what is not there: {', '.join(missing)}")
