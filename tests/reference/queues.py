"""Queue models of ENGINE.md: how many lots stand ahead of one resting order. One object an order, nothing shared."""

import math


class RiskAverse:
    """ "Prints at the price reduce q; a level smaller than q clips it." """

    def __init__(self, level: int, power: float) -> None:
        del power
        self.q = level  # "on arrival q = the level's quantity on the tape"

    def ahead(self) -> int:
        return self.q

    def print_at(self, qty: int) -> None:
        self.q = max(0, self.q - qty)  # "Then q falls by T (to 0)."

    def level(self, prev: int, new: int) -> None:
        del prev
        self.q = min(self.q, new)


class Prob:
    """papers.md D2, "then q = clip(q, 0, level)". Power family f(x) = x**n."""

    def __init__(self, level: int, power: float) -> None:
        self.q = float(level)
        self.power = power
        self.cum = 0.0  # traded at the price since the last row of the level

    def f(self, x: float) -> float:
        return x**self.power

    def ahead(self) -> int:
        return math.ceil(self.q)  # "a fractional q (prob) means ceil(q) lots ahead"

    def print_at(self, qty: int) -> None:
        self.q = max(0.0, self.q - float(qty))
        self.cum += float(qty)

    def level(self, prev: int, new: int) -> None:
        q, after = self.q, float(new)
        chg = float(prev) - after - self.cum
        self.cum = 0.0
        if q <= 0.0:
            return
        if chg < 0.0:
            q = min(q, after)
        else:
            back = float(prev) - q
            p = self.f(back) / (self.f(back) + self.f(q))
            q = q - (1.0 - p) * chg + min(back - p * chg, 0.0)
        self.q = max(0.0, min(q, after))


class ProbLog(Prob):
    """Log family, f(x) = log(1 + x)."""

    def f(self, x: float) -> float:
        return math.log(1.0 + x)


class Front:
    """ "`front`: q = 0." """

    def __init__(self, level: int, power: float) -> None:
        del level, power
        self.q = 0

    def ahead(self) -> int:
        return 0

    def print_at(self, qty: int) -> None:
        del qty

    def level(self, prev: int, new: int) -> None:
        del prev, new


Queue = RiskAverse | Prob | Front
QUEUES: dict[str, type[RiskAverse] | type[Prob] | type[Front]] = {
    "risk_averse": RiskAverse,
    "prob": Prob,
    "prob_log": ProbLog,
    "front": Front,
}
