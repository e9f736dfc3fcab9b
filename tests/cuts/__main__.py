"""All cuts of all recorded streams: `make cuts`. Prints a table; the exit status says whether it is good enough."""

from __future__ import annotations

import sys
from collections import Counter
from multiprocessing import Pool

from cuts.course import APIS, Mode, Recorded, Way, cuts_of, is_declared, play, recorded, share

EVERY_BYTE_TO = 1500
WAYS: tuple[tuple[Way, Mode], ...] = (("prefill", "safe"), ("obeys", "safe"), ("understands", "safe"), ("obeys", "off"))
Row = tuple[str, str, str, str]


def run_stream(stream: Recorded) -> tuple[Counter[Row], list[str]]:
    """Every cut of one stream, for its own client and for one of another protocol."""
    clients = list(APIS.values())
    other = clients[(clients.index(stream.dialect) + 1 + len(stream.body) % 3) % 4]
    counts: Counter[Row] = Counter()
    wrong: list[str] = []
    for client in (stream.dialect, other):
        passes = "relayed" if client == stream.dialect else "translated"
        for way, mode in WAYS:
            for cut in cuts_of(stream, EVERY_BYTE_TO):
                outcome = play(stream, cut, client, way, mode)
                kind = "declared" if is_declared(outcome) else outcome.kind
                counts[stream.dialect, passes, way if mode != "off" else "off", kind] += 1
                if kind == "wrong" and len(wrong) < 3:
                    wrong.append(f"{stream.provider} {stream.id} for {client}, {way} {mode}, at {cut}: {outcome.why}")
    return counts, wrong


def main() -> int:
    """Runs all of it on all cores."""
    streams = list(recorded())
    total: Counter[Row] = Counter()
    wrong: list[str] = []
    with Pool() as pool:
        for counts, found in pool.imap_unordered(run_stream, streams, chunksize=1):
            total += counts
            wrong += found
    kinds = ("resumed", "error", "wrong", "declared", "before", "whole")
    print(f"{len(streams)} streams, {sum(total.values())} cuts")
    print(f"{'provider speaks':20}{'':12}{'second':13}" + "".join(f"{kind:>10}" for kind in kinds) + f"{'finish':>9}")
    good = not wrong
    for dialect, passes, way in sorted({row[:3] for row in total}):
        counts = Counter({kind: total[dialect, passes, way, kind] for kind in kinds})
        finish = share(counts)
        good = good and (counts["resumed"] == 0 if way == "off" else finish >= 0.95)
        shown = "".join(f"{counts[kind]:>10}" for kind in kinds)
        print(f"{dialect:20}{passes:12}{way:13}{shown}{finish:>9.1%}")
    print(*wrong[:20], sep="\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
