"""Settings for the whole suite."""

from hypothesis import settings

# Examples are judged by what they show, not by how long a busy machine takes over them.
settings.register_profile("chorus", deadline=None)
settings.load_profile("chorus")
