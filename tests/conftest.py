"""Settings of all tests."""

from hypothesis import HealthCheck, settings

# How fast a shared machine generates examples says nothing about the code under test.
settings.register_profile("everyday", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("everyday")
