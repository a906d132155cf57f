"""Settings for the whole suite."""

import signal

from hypothesis import settings

# Examples are judged by what they show, not by how long a busy machine takes over them.
settings.register_profile("chorus", deadline=None)
settings.load_profile("chorus")

# A shell that starts the tests in the background has them ignore Ctrl-C, and with them every program that they start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
