"""Settings of all tests."""

import os

from hypothesis import HealthCheck, settings

# Each of the suite's processes computes in one thread: on small matrices a pool's threads mostly wait for each other,
# and beside other processes they burn a core each while they do. Read when numpy and torch are loaded, by children too.
for pool in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(pool, "1")

# How fast a shared machine generates examples says nothing about the code under test.
settings.register_profile("everyday", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("everyday")
