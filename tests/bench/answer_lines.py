"""The Python side of contestant.ts: prints "ready", then answers every line on stdin with one measured call of `work`."""

import json
import resource
import sys
import time


def answer_lines(work, **facts):
    print("ready", flush=True)
    for _ in sys.stdin:
        cpu, wall = time.process_time(), time.perf_counter()
        work()
        call = {
            "cpuMs": (time.process_time() - cpu) * 1000,
            "wallMs": (time.perf_counter() - wall) * 1000,
            "peakMB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
        }
        print(json.dumps({**call, **facts}), flush=True)
