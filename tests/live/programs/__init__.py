"""The C programs of the live tests, and how they are made."""

import os
import subprocess

from tests.live.capabilities import PATH

HERE = os.path.dirname(__file__)
FLAGS = ("-O2", "-Wall", "-Wextra", "-Werror", "-pthread")


def compile_program(name: str, directory: str) -> str:
    """The path of the program made from a C file of this directory."""
    program = os.path.join(directory, name)
    command = ["gcc", *FLAGS, "-o", program, os.path.join(HERE, f"{name}.c")]
    subprocess.run(command, env={**os.environ, "PATH": PATH}, timeout=60, check=True)
    return program
