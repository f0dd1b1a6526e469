"""What holds for every test, on whatever machine and however it was started.

Hypothesis makes the same examples in each run, so that no run is red by chance; others and more in
`make fuzz`. What a fuzz finds becomes an @example of its test.
"""

import signal

from hypothesis import HealthCheck, settings

# Who is started in the background of a shell ignores SIGINT (sh(1), lists), and so would all that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# On a busy machine an example may take any time, and so may making it.
_ANY_MACHINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

settings.register_profile("fixed", _ANY_MACHINE, derandomize=True)
settings.register_profile("fuzz", _ANY_MACHINE, max_examples=2000, print_blob=True)
settings.load_profile("fixed")
