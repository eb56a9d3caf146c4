"""Where the time of a cold ``bayescale report`` goes, part by part, in seconds.

BAYESCALE_DATA=FOLDER python benchmarks/report.py
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PARTS = """
import json, sys, time
clock, parts = time.perf_counter(), {}
def lap(name):
    global clock
    parts[name] = time.perf_counter() - clock
    clock = time.perf_counter()
import bayescale as bs, bayescale.report
bs.fit
lap("import")
runs = bs.read_runs(sys.argv[1], where="not outlier_epoch")
lap("read")
fitted = bs.fit(runs, progress=False)
lap("fit")
bs.residuals(fitted)
bs.basin(fitted, 5.76e23)
lap("predict")
for section in bayescale.sections.page.sections(fitted, [5.76e23]):
    section.figure and bayescale.report._png(section.figure)
lap("plot")
fitted.save(sys.argv[2])
lap("save")
diagnostics = fitted.diagnostics
parts["fit: compile"] = diagnostics.seconds_compile
parts["fit: sample"] = diagnostics.seconds_sample
parts["fit: rest"] = parts.pop("fit") - diagnostics.seconds_compile - diagnostics.seconds_sample
print(json.dumps(parts))
"""


def main() -> None:
    """Time the parts in one fresh process, and the command in another."""
    from bayescale import load_dataset

    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "chinchilla.csv"
        load_dataset("chinchilla").to_csv(table, index=False)
        command = [sys.executable, "-c", PARTS, str(table), f"{folder}/fit.nc"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        parts = json.loads(done.stdout)
        for name, seconds in sorted(parts.items()):
            print(f"{name:<14}{seconds:6.1f} s  {seconds / sum(parts.values()):4.0%}")
        start = time.perf_counter()
        subprocess.run(
            [
                sys.executable,
                "-m",
                "bayescale",
                "report",
                str(table),
                "--flops",
                "5.76e23",
                "--where",
                "not outlier_epoch",
                "--out",
                f"{folder}/out",
            ],
            check=True,
            capture_output=True,
        )
        print(f"whole command {time.perf_counter() - start:6.1f} s")


if __name__ == "__main__":
    main()
