"""What engines say, as bytes: decoders of their protocols, which know neither containers nor pods."""
