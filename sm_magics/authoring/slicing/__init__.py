"""The parts of the slicer: which statements a name needs, and how they are put together."""
