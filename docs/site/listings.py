"""Pages of the reference, made of what the package says of itself."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

import bayescale
from bayescale.cli import app
from bayescale.laws import LAWS, Law

ROOT = Path(__file__).parents[2]
STUB = ROOT / "bayescale" / "__init__.pyi"
FROM = re.compile(r"^from \.([\w.]+) import (\([^)]*\)|.*)$", re.MULTILINE)

ROOMS = {
    "runs": "Tables of runs",
    "laws": "Laws",
    "modelling": "Models and priors",
    "posterior": "Fits and predictions",
    "decisions": "Decisions",
    "evaluation": "Checks, comparisons, backtests",
    "curves": "Curves along one axis",
    "plots": "Pictures",
    "report": "The report",
    "": "Summaries and errors",
}
"""Parts of the package in the order of its imports, and what the reference calls them."""


def public() -> dict[str, list[str]]:
    """Public names by the module that they live in.

    Returns
    -------
    dict of str to list of str
        Modules without the package's name, in the order of `ROOMS`.
    """
    found: dict[str, list[str]] = {}
    for module, names in FROM.findall(STUB.read_text("utf-8")):
        own = re.findall(r"(\w+) as \1", names)
        found[module] = [*found.get(module, []), *own]
    rooms = list(ROOMS)
    return dict(sorted(found.items(), key=lambda item: rooms.index(room_of(item[0]))))


def room_of(module: str) -> str:
    """Room of a module; empty at the top of the package.

    Parameters
    ----------
    module : str

    Returns
    -------
    str
    """
    first = module.partition(".")[0]
    return first if first in ROOMS else ""


def used(text: str) -> set[str]:
    """Public names that a page uses: in blocks of Python, or called in a line.

    Parameters
    ----------
    text : str
        Markdown.

    Returns
    -------
    set of str
    """
    blocks = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    return {*re.findall(r"\bbs\.(\w+)", blocks), *re.findall(r"`bs\.(\w+)\(", text)}


def pages_of_python(shown: Mapping[str, str]) -> dict[str, str]:
    """Pages of the public names: one for each room, one that lists them all.

    Parameters
    ----------
    shown : mapping of str to str
        Markdown of where each name is used, links relative to ``reference/``.

    Returns
    -------
    dict of str to str
        Markdown by the path of the page.
    """
    pages: dict[str, str] = {}
    rows: dict[str, list[str]] = {}
    for module, names in public().items():
        room = room_of(module) or "package"
        title = ROOMS[room_of(module)]
        page = pages.setdefault(f"reference/{room}.md", f"# {title}\n")
        about = _about(module)
        page += f"\n## {module.rpartition('.')[2].replace('_', ' ').capitalize()}\n\n{about}\n"
        for name in names:
            page += f"\n::: bayescale.{name}\n"
            if name in shown:
                page += f"\nShown in {shown[name]}.\n"
        pages[f"reference/{room}.md"] = page
        links = ", ".join(f"[`{name}`][bayescale.{name}]" for name in names)
        rows.setdefault(f"[{title}]({room}.md)", []).append(links)
    lines = [f"| {title} | {', '.join(links)} |" for title, links in rows.items()]
    table = "\n".join(["| part | names |", "| --- | --- |", *lines])
    pages["reference/index.md"] = f"# Python\n\n`import bayescale as bs`\n\n{table}\n"
    return pages


def _about(module: str) -> str:
    """First paragraph of a module's docstring."""
    path = ROOT / "bayescale" / module.replace(".", "/")
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return path.read_text("utf-8").split('"""')[1].split("\n\n")[0]  # a module begins with it


def page_of_laws() -> str:
    """Page of all laws: formula, source, and the units of inputs and parameters.

    Returns
    -------
    str
    """
    models = models_by_law()
    page = (ROOT / "docs" / "site" / "mathematics.md").read_text("utf-8")
    for name, law in sorted(LAWS.items()):
        if law.function.__module__.startswith("bayescale.laws."):
            page += f"\n::: {law.function.__module__}.{law.function.__name__}\n\n{_facts(law)}"
            files = ", ".join(f"[`{own}`](reference/models.md#{own})" for own in models[name])
            page += f"Model files: {files}.\n" if files else ""
    return page


def _facts(law: Law) -> str:
    inputs = ", ".join(f"`{one.name}` ({one.role})" for one in law.reads)
    supports = ", ".join(
        f"`{name}` {one.support}" + (f" over `{one.along}`" if one.along else "")
        for name, one in law.supports.items()
    )
    says = f"{law.response.label}; reads {inputs}; parameters {supports}"
    return f"It says {says}.\n\n"


def models_by_law() -> dict[str, list[str]]:
    """Names of shipped model files by the law that they fit.

    Returns
    -------
    dict of str to list of str
    """
    found: dict[str, list[str]] = {name: [] for name in LAWS}
    for path in sorted((ROOT / "models").glob("*.toml")):
        law = tomllib.loads(path.read_text("utf-8")).get("law")
        if law:
            found[law].append(path.stem)
    return found


def page_of_models() -> str:
    """Page of all shipped model files, as they are.

    Returns
    -------
    str
    """
    page = "# Model files\n\n[Choose a law](../models.md) says what each of them is for.\n"
    for path in sorted((ROOT / "models").glob("*.toml")):
        page += f"\n## {path.stem}\n\n```toml\n{path.read_text('utf-8').rstrip()}\n```\n"
    return page


def page_of_commands() -> str:
    """Page of all commands, with the help of their options.

    Returns
    -------
    str
    """
    page = "# Options of commands\n\n[Commands](../commands.md) says what each of them is for.\n"
    for words, command in _commands(typer.main.get_command(app), "bayescale"):
        context = typer.Context(command, info_name=words)
        records = [one.get_help_record(context) for one in command.params]
        rows = [f"| `{called}` | {_plain(told)} |" for called, told in filter(None, records)]
        page += f"\n## {words}\n\n{(command.help or '').strip()}\n\n"
        page += "\n".join(["| option | |", "| --- | --- |", *rows]) + "\n"
        if command.epilog:
            page += f"\nExample:\n\n    {command.epilog.removeprefix('Example: ')}\n"
    return page


def _commands(group: Any, words: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{words} {name}")
        else:
            yield f"{words} {name}", command


def _plain(told: str) -> str:
    """Text of a cell: nothing in it is Markdown."""
    return re.sub(r"([|*_<>\[\]])", r"\\\1", " ".join(told.split()))


def names() -> set[str]:
    """All public names.

    Returns
    -------
    set of str
    """
    return set(bayescale.__all__)
