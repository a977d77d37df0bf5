"""The parts of the proof: a clean process, what it may import, the reference, the comparison."""
