"""Settings of all tests."""

import os

import pytest
from hypothesis import HealthCheck, settings

# Each of the suite's processes computes in one thread: on small matrices a pool's threads mostly wait for each other,
# and beside other processes they burn a core each while they do. Read when numpy and torch are loaded, by children too.
for pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(pool, "1")

# How fast a shared machine generates examples says nothing about the code under test.
settings.register_profile("everyday", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("everyday")

# Files of few tests that take long, mostly by starting processes.
LONG = (
    "test_several_kill9.py",
    "test_takeover.py",
    "test_kill9.py",
    "test_optimizer_process.py",
    "test_stop.py",
    "test_agreement.py",
    "test_queue_reactive.py",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long: at the end a worker would be alone with it."""
    items.sort(key=lambda item: item.path.name not in LONG)
