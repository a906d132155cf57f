"""The chorus beside its peers: same model, same server, same questions. Run `python -m evals.bench.peers`.

Real packages run in environments of their own (`environments.py`), each driven by a small program of ours (`runners.py`);
where a package can't run here, the table says why. Two debate programs are also played as call patterns
(`patterns.py`), and marked so. Every system answers the same questions, one after another, with as many voices and the same
bound on a reply. What it cost is counted at the server, so that all are counted alike; the prefix cache is emptied
between systems, their order is drawn anew each repeat, and failures are counted, not replaced.

Needs an environment with vLLM. Results are written as they come, and a run that was ended goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path

from evals import report
from evals.bench.peers import environments
from evals.bench.peers.measure import SYSTEMS, Bench, Cell, questions
from evals.bench.peers.table import settings, write
from evals.bench.served import serve


def kept(options: argparse.Namespace) -> list[Cell]:
    """Return what an earlier run with the same settings has measured."""
    file = options.folder / "peers.json"
    if options.anew or not file.exists():
        return []
    data = json.loads(file.read_text())["data"]
    return [Cell(**cell) for cell in data["cells"]] if data.get("settings") == settings(options) else []


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, write the results as they come, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--questions", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--max-tokens", type=int, default=64, help="bound on a reply  [64]")
    parser.add_argument("--only", default="", help="systems whose names begin with this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--anew", action="store_true", help="measure again what an earlier run has measured")
    parser.add_argument("--prepare", action="store_true", help="make the peers' environments, and nothing else")
    parser.add_argument("--folder", type=Path, default=report.RESULTS)
    parser.add_argument("--server-args", default="", help="arguments of vLLM's server, in one string")
    options = parser.parse_args(arguments)
    for peer in environments.PACKAGES:
        try:
            environments.python_of(peer)
        except environments.NotInstalled as fault:
            print(f"{peer} can't be installed: {fault}")
    if options.prepare:
        return
    cells = kept(options)
    chosen = [system for system in SYSTEMS if system.name.startswith(options.only)]
    with serve(options.model, options.server_args.split()) as server:
        bench = Bench(server, questions(options.questions, options.seed), options.max_tokens, options.seed)
        for repeat in range(options.repeats):
            order = random.Random(f"{options.seed}/{repeat}").sample(chosen, len(chosen))
            for system in order:
                if not any((cell.system, cell.repeat) == (system.name, repeat) for cell in cells):
                    cell = bench.run(system, repeat)
                    cells.append(cell)
                    print(f"{system.name:36}{cell.wall_s:8.2f} s  {cell.computed:8.0f} computed  {cell.failed} failed")
                    write(cells, options)
    print(write(cells, options).read_text())


if __name__ == "__main__":
    main()
