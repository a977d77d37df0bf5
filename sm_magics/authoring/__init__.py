"""The ``code/`` folder: what cells write into it, and whether it is right."""
