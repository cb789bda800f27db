"""Property tests are not judged by the time that an example takes: a loaded machine must not fail them."""

from hypothesis import settings

settings.register_profile("simtools", deadline=None)
settings.load_profile("simtools")
