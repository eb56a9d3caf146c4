"""What MkDocs is told beyond mkdocs.yml: pages that are made, not written."""

import posixpath
import re
import struct
from pathlib import Path
from typing import Any

import executed
import gallery
import listings
from formulas import Formulas
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
NOTEBOOKS = {f"notebooks/{path.stem}.md": executed.read(path) for path in gallery.notebooks()}


def on_config(config: Any) -> Any:
    """Fill in the parts of the navigation that are folders, and read formulas.

    Parameters
    ----------
    config : MkDocsConfig

    Returns
    -------
    MkDocsConfig
    """
    config.markdown_extensions.append(Formulas(listings.names()))
    made = {
        "notebooks": [{page.title: path} for path, page in NOTEBOOKS.items()],
        "reference": ["reference/index.md"]
        + [{title: f"reference/{room or 'package'}.md"} for room, title in listings.ROOMS.items()],
    }
    config.nav = _with(config.nav, made)
    return config


def _with(nav: Any, made: dict[str, list[Any]]) -> Any:
    if isinstance(nav, list):
        return [_with(one, made) for one in nav]
    if isinstance(nav, dict):
        return {title: _with(part, made) for title, part in nav.items()}
    return made.get(nav, nav)


def on_files(files: Files, config: Any) -> Files:
    """Add what is made: start page, reference, laws, notebooks, gallery, changes.

    Parameters
    ----------
    files : Files
    config : MkDocsConfig

    Returns
    -------
    Files
    """
    shown = _shown(files)
    readme = (ROOT / "README.md").read_text("utf-8").replace("](docs/", "](")
    readme = readme.replace("[CONTRIBUTING.md](CONTRIBUTING.md)", "`CONTRIBUTING.md`")
    made: dict[str, str | bytes] = {
        "index.md": readme,
        "changes.md": (ROOT / "CHANGELOG.md").read_text("utf-8"),
        "mathematics.md": listings.page_of_laws(),
        "reference/models.md": listings.page_of_models(),
        "reference/commands.md": listings.page_of_commands(),
        "made/extra.css": (HERE / "extra.css").read_text("utf-8"),
        **listings.pages_of_python(shown),
        **gallery.pages(list(NOTEBOOKS.values())),
    }
    for path, page in NOTEBOOKS.items():
        made[path] = page.markdown
        made |= {f"notebooks/{name}": picture for name, picture in page.pictures.items()}
    for path, content in made.items():
        files.append(File.generated(config, path, content=content))
    return files


def _shown(files: Files) -> dict[str, str]:
    """Links to pages and notebooks whose code uses a public name, two for each at most."""
    texts = {one.src_uri: one.content_string for one in files.documentation_pages()}
    texts["gallery.md"] = (HERE / "gallery.md").read_text("utf-8")
    texts |= {path: page.markdown for path, page in NOTEBOOKS.items()}
    links: dict[str, list[str]] = {}
    for path, text in sorted(texts.items()):
        title = text.lstrip("# ").split("\n", 1)[0]
        for name in listings.used(text):
            links.setdefault(name, []).append(f"[{title}](../{path})")
    return {name: ", ".join(own[:2]) for name, own in links.items()}


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Point links to notebooks of the repository at their pages.

    Parameters
    ----------
    markdown : str
    page : Page
    config : MkDocsConfig
    files : Files

    Returns
    -------
    str
    """
    link = r"\]\(((?:\.\./)*?)(?:\.\./)?(notebooks/[\w-]+)\.ipynb\)"  # of docs/, or the README
    return re.sub(link, r"](\1\2.md)", markdown)


def on_page_content(html: str, page: Any, config: Any, files: Files) -> str:
    """Put the outputs of a notebook into its page, and name pictures of panels beside each other.

    Parameters
    ----------
    html : str
    page : Page
    config : MkDocsConfig
    files : Files

    Returns
    -------
    str
    """
    notebook = NOTEBOOKS.get(page.file.src_uri)
    # a dash that nothing follows: what the type of a parameter says already
    html = re.sub(r"\s*–\s*<div class=\"doc-md-description\">\s*</div>", "", html)
    html = re.sub(
        r'<img (?=[^>]*src="([^":]+\.png)")', lambda found: _img(found, page, files), html
    )
    return notebook.filled(html) if notebook else html


def _img(found: re.Match[str], page: Any, files: Files) -> str:
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page.file.url), found[1]))
    picture = files.get_file_from_path(path)
    width, height = struct.unpack(">II", picture.content_bytes[16:24]) if picture else (0, 0)
    return found[0] + ('class="wide" ' if width > 1.7 * height else "")
