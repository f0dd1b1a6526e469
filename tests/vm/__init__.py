"""What only a stock kernel with systemd and cgroups of version 2 alone shows: a machine of its own, and checks in it.

pytest does not collect the checks by itself (`make test-vm` does): they are for that machine, which
ends with them.
"""
