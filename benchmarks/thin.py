"""What rows of a thin tape cost where 1,024 lanes' quotes rest: ``python -m benchmarks.thin TAPE``.

The lanes' own decisions cost what they cost anywhere; here they are made rarer and rarer, until every lane quotes once
and its orders rest to the end. What an event then costs, beyond building the lanes, is the price of the rows: the
book, the queues that the orders share, and their fills. Processor time, least of seven passes.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.jobs import LATENCY_NS, MINUTE, Job, recorded_jobs
from tidewright.engine import sweep
from tidewright.engine.replay import ReplayConfig
from tidewright.market.codes import PACKET_END, UNIT
from tidewright.market.tape import Tape

HOURS: Final = (1, 2, 4, 8, 24)
PASSES: Final = 7


def timed(tape: Tape, rows: int, job: Job) -> tuple[float, dict[str, Any]]:
    """Seconds of processor time for the first rows with a job's lanes, and the lanes' statistics."""
    config = ReplayConfig(
        start_ns=tape.start_ns, cycle_ns=job.cycle_ns, entry_ns=LATENCY_NS, response_ns=LATENCY_NS, queue=job.queue
    )
    params = {
        "spread_percentage": np.array(job.spreads),
        "levels": job.levels,
        "base_quantity": job.quantity,
        "max_position": job.max_position,
    }
    spent = []
    for _ in range(PASSES):
        began = time.process_time()
        work = sweep.Job(tape.instrument, config, "grid", params, len(job.spreads), quote_units=1_000_000 * UNIT)
        statistics = sweep.Threads(1).run(sweep.Rows(tape.data.rows(0, rows)), work).statistics
        spent.append(time.process_time() - began)
    return min(spent), statistics


def main() -> None:
    """Print a row a cycle."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.thin", description=__doc__)
    parser.add_argument("tape", type=Path)
    tape = Tape.open(parser.parse_args().tape)
    one, many = recorded_jobs(tape, "recorded", 1)
    ends = np.flatnonzero(tape.data.flags & PACKET_END) + 1
    table = Table(title=f"{tape.instrument.symbol}, {len(tape):,} rows, grid 4+4, one thread")
    for name in ("lanes", "decide every", "orders", "fills", "ns an event beyond building"):
        table.add_column(name, justify="right")
    for job in (one, many):
        building, _ = timed(tape, int(ends[min(3, len(ends) - 1)]), job)
        for hours in HOURS:
            seconds, counted = timed(tape, len(tape), replace(job, cycle_ns=hours * 60 * MINUTE))
            cost = f"{(seconds - building) / len(tape) * 1e9:.1f}"
            sums = (f"{int(counted[key].sum()):,}" for key in ("n_orders", "n_fills"))
            table.add_row(f"{len(job.spreads):,}", f"{hours} h", *sums, cost)
    Console().print(table)


if __name__ == "__main__":
    main()
