"""Tests of nsagent.kernel: decoders on recorded messages, readers on trees and on the live kernel."""
