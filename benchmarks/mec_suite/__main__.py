"""The offloading suite: its speed beside plain Python, and the fronts of schemes and of agents.

    python benchmarks/mec_suite speed                       # steps a second of every scenario, in turns
    python benchmarks/mec_suite fronts                      # every scenario: schemes, cmorl and d3po
    python benchmarks/mec_suite fronts dag --steps 50000    # those whose id has the word, with a smaller budget
    python benchmarks/mec_suite picture                     # docs/mec-suite.png from the stored fronts
    python benchmarks/mec_suite trace                       # envs/offloading/trace.csv, the synthetic trace

Figures are written to ``benchmarks/results/mec_suite_speed.json`` and ``mec_suite_fronts.json``, a scenario at a time;
the documentation has its tables from these. Every return is a mean over the same episodes, those of seed 0.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

IDS = tuple(f"mec-{name}-v0" for name in ("devices", "deadlines", "local", "bursty", "trace", "failures", "dag"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "fronts", "picture", "trace"])
    parser.add_argument("parts", nargs="*", help="words, of which an id must have one")
    parser.add_argument("--steps", type=int, default=300_000, help="of each training")
    parser.add_argument("--episodes", type=int, default=512, help="of each policy")
    parser.add_argument("--rounds", type=int, default=9, help="of the speed, in which all take their turn")
    parser.add_argument("--out", type=Path, default=Path("runs/mec_suite"), help="directory of the trainings")
    arguments = parser.parse_args()
    ids = [id for id in IDS if not arguments.parts or any(part in id for part in arguments.parts)]
    if arguments.what == "speed":
        import speed

        speed.measure(ids, arguments.rounds)
    elif arguments.what == "trace":
        import traces

        traces.write(HERE.parents[1] / "envs" / "offloading" / "trace.csv")
    else:
        import fronts

        if arguments.what == "fronts":
            fronts.find(ids, arguments.steps, arguments.episodes, arguments.out)
        fronts.draw(HERE.parents[1] / "docs" / "mec-suite.png")


if __name__ == "__main__":
    main()
