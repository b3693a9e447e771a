"""Other learners on our environment; skipped where they are not installed."""

import math

import pytest


def test_stable_baselines3_trains_on_the_tape_environment():
    pytest.importorskip("stable_baselines3")
    import torch
    from examples.learn_with_stable_baselines3 import main

    torch.set_num_threads(1)

    assert math.isfinite(main(steps=64, hours=1.5, lanes=1))
