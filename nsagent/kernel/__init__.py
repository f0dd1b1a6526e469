"""The only package that opens /proc and netlink."""
