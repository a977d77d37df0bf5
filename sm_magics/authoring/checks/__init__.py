"""What can be found in ``code/`` without running it."""
