"""Attacks the filter in a real Envoy with random requests, settings, sidecars and
origins; ends with 1 if there are findings."""

import argparse
import concurrent.futures
import functools
import pathlib
import secrets
import sys
import time

import gateway
import hostile
import rounds

# Requests of a round.
SIZE = 1250


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--seed", help="what a run before has printed")
    of_filter = parser.add_mutually_exclusive_group(required=True)
    of_filter.add_argument("--module", type=pathlib.Path, help="the wasm module")
    of_filter.add_argument("--native", help="the name of the dynamic module")
    parser.add_argument("--envoy", type=pathlib.Path, required=True)
    parser.add_argument("--jobs", type=int, default=2, help="rounds at the same time")
    options = parser.parse_args()
    seed = options.seed or secrets.token_hex(4)
    print(f"attack: --requests {options.requests} --seed {seed}", flush=True)
    began = time.monotonic()
    plan = planned(options.requests, seed)
    tools = rounds.Tools(options.envoy, filter_of(options))
    found = {}
    with concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
        runs = [pool.submit(play, tools, *one) for one in plan]
        for run in concurrent.futures.as_completed(runs):
            for report in run.result():
                known = found.setdefault(report.title, report)
                if known is not report:
                    known.count += report.count
                    if len(report.example) < len(known.example):
                        known.example = report.example
    show(found)
    print(f"attack: {options.requests} requests, {time.monotonic() - began:.0f} s,", end=" ")
    print(f"classes of findings: {len(found)}")
    sys.exit(1 if found else 0)


def filter_of(options):
    """Makes a filter of its settings."""
    if options.native:
        return functools.partial(gateway.native, options.native)
    return functools.partial(gateway.wasm, options.module.resolve())


def planned(requests, seed):
    """The rounds: their kind, seed and size."""
    # The sidecar's takes its time, whatever its size: it comes first.
    plan = [("sidecar", f"{seed}/s", 0)]
    while requests > 0:
        kind = "origin" if len(plan) % 8 == 3 else "policy"
        plan.append((kind, f"{seed}/{len(plan)}", min(SIZE, requests)))
        requests -= SIZE
    return plan


def play(tools, kind, seed, size):
    return KINDS[kind](tools, seed, size).run()


KINDS = {"policy": rounds.Policy, "sidecar": hostile.Sidecar, "origin": hostile.Origin}


def show(found):
    for report in sorted(found.values(), key=lambda report: report.title):
        print(f"\n{report.title}: {report.count} times, for example\n{report.example}")


if __name__ == "__main__":
    main()
