"""Run the checks in the machine, and those tests of the project that an older kernel could break: `python -m tests.vm`.

Further arguments are pytest's.
"""

import os
import sys

from tests.vm.machine import run

CHECKS = ("tests/vm/check_whole.py", "tests/vm/check_service.py", "tests/vm/check_confined.py")
"""The last of them take from the machine what they cannot give back."""

TESTS = (
    "tests/kernel/test_cgroupfs.py",
    "tests/kernel/test_small_tables.py",
    "tests/kernel/test_seccomp.py",
    "tests/scan/collect/test_run_marks.py",
    "tests/scan/collect/test_tables.py",
    "tests/live/test_podman.py::test_the_owner_of_each_listener_is_the_process_that_podman_started",
)

if __name__ == "__main__":
    pytest = ["python", "-m", "pytest", "--override-ini=python_files=check_*.py test_*.py", "--timeout=900"]
    sys.exit(run([*pytest, "-p", "no:cacheprovider", *TESTS, *CHECKS, *sys.argv[1:]], os.environ))
