"""Import time, time to ready, idle memory: of the gateway process alone, without local models.

    python benchmarks/startup.py [--runs N]

Memory is the PSS of the process tree (/proc), time is CPU time of the children where it can be had, so a busy machine
changes the figures little.
"""

from __future__ import annotations

import argparse
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import closing
from pathlib import Path

CONFIG = """
providers: {up: {kind: openai, base_url: "http://127.0.0.1:9/v1", api_key: x, price: {input: 1, output: 2}}}
models: {a: {provider: up, name: a}}
"""


def children_cpu_s() -> float:
    """CPU seconds of all children that ended so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cpu_of(command: list[str], runs: int) -> list[float]:
    """CPU milliseconds of a command, several times."""
    figures = []
    for _ in range(runs):
        before = children_cpu_s()
        subprocess.run(command, check=True, capture_output=True)
        figures.append((children_cpu_s() - before) * 1e3)
    return figures


def pss_mb(pid: int) -> float:
    """Proportional set size of a process and its children, in MB."""
    total = 0
    for process in [pid, *children(pid)]:
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


def children(pid: int) -> list[int]:
    """Children of a process."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [one for child in listed for one in (int(child), *children(int(child)))]


def free_port() -> int:
    """A port that nobody uses now."""
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        return int(probe.getsockname()[1])


def serve_once(folder: Path) -> tuple[float, float]:
    """(wall seconds until ready, PSS in MB after three idle seconds)."""
    port = free_port()
    (folder / "afterbay.yaml").write_text(CONFIG)
    command = [sys.executable, "-m", "afterbay", "serve", "-c", "afterbay.yaml", "--port", str(port)]
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
    try:
        while time.monotonic() - began < 30:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=1).close()
                break
            except OSError:
                time.sleep(0.01)
        ready_s = time.monotonic() - began
        time.sleep(3)
        return ready_s, pss_mb(process.pid)
    finally:
        process.terminate()
        process.wait(10)


def show(what: str, figures: list[float], unit: str) -> None:
    """One line: minimum, median, maximum."""
    print(f"{what:44} {min(figures):8.1f} {statistics.median(figures):8.1f} {max(figures):8.1f} {unit}")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    runs = parser.parse_args().runs
    os.environ.pop("PYTHONPATH", None)
    print(f"{'':44} {'min':>8} {'median':>8} {'max':>8}   n = {runs}")
    bare = cpu_of([sys.executable, "-c", "pass"], runs)
    show("python alone, CPU", bare, "ms")
    for module in ("afterbay", "afterbay.cli.main", "afterbay.app.server"):
        figures = [one - statistics.median(bare) for one in cpu_of([sys.executable, "-c", f"import {module}"], runs)]
        show(f"import {module}, CPU, python alone taken off", figures, "ms")
    show("afterbay --version, CPU", cpu_of([sys.executable, "-m", "afterbay", "--version"], runs), "ms")
    with tempfile.TemporaryDirectory() as folder:
        seen = [serve_once(Path(folder)) for _ in range(runs)]
    show("serve until ready, wall", [one[0] * 1e3 for one in seen], "ms")
    show("idle gateway, PSS", [one[1] for one in seen], "MB")


if __name__ == "__main__":
    main()
