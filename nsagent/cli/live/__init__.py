"""The live table of `nsagent scan --watch`.

Passes are made in a thread of their own, the screen and its keys are the main one's: a pass that hangs leaves
them as they are. What is shown and what each key makes of it is pure (state, look, frame); curses is spoken to
in `screen` alone.
"""
