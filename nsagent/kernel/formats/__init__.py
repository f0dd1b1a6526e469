"""Pure decoders, one module per kernel format: bytes or text in, frozen values or FormatError out."""
