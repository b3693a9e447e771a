"""Latencies that are not constant, in the slow model: docs/engine.md, "Latency"."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """Linear between the rows (time, entry, response), constant outside; fractions of a nanosecond are dropped."""

    rows: tuple[tuple[int, int, int], ...]

    def at(self, ts: int, column: int) -> int:
        before = [row for row in self.rows if row[0] <= ts]
        after = [row for row in self.rows if row[0] > ts]
        if not before:
            return after[0][column]
        if not after:
            return before[-1][column]
        left, right = before[-1], after[0]
        share = (ts - left[0]) / (right[0] - left[0])
        return math.floor(left[column] + (right[column] - left[column]) * share)

    def entry(self, ts: int) -> int:
        return self.at(ts, 1)

    def response(self, ts: int) -> int:
        return self.at(ts, 2)

    def most_entry(self) -> int:
        return max(row[1] for row in self.rows)


@dataclass(frozen=True)
class Sampled:
    """Log-normal with spikes, a hash of (seed, instant, direction): a Feistel network, then Box-Muller."""

    entry_ns: int
    response_ns: int
    sigma: float = 0.3
    spike_ns: int = 0
    spike_odds: float = 0.0
    seed: int = 0

    def draw(self, median: int, ts: int, direction: int) -> int:
        word = feistel(feistel(self.seed + 2 * direction + 1) + ts)
        one, two, three = [(feistel(word + k) // 2**10 + 0.5) / 2**52 for k in (1, 2, 3)]
        z = math.sqrt(-2.0 * math.log(one)) * math.cos(2.0 * math.pi * two)
        z = max(-4.0, min(4.0, z))
        return math.floor(median * math.exp(self.sigma * z)) + (self.spike_ns if three < self.spike_odds else 0)

    def entry(self, ts: int) -> int:
        return self.draw(self.entry_ns, ts, 0)

    def response(self, ts: int) -> int:
        return self.draw(self.response_ns, ts, 1)

    def most_entry(self) -> int:
        return math.ceil(self.entry_ns * math.exp(4.0 * self.sigma)) + self.spike_ns


Latency = Table | Sampled


def feistel(word: int) -> int:
    """Six rounds over two halves of 31 bits; each mixes the middle bits of a product into the other half."""
    left, right = word // 2**31 % 2**31, word % 2**31
    for factor in (0x5BD1E995, 0x27D4EB2F, 0x165667B1, 0x6A09E667, 0x3C6EF372, 0x4CF5AD43):
        product = right * factor + factor
        left, right = right, left ^ (product // 2**16 % 2**31)
    return left * 2**31 + right
