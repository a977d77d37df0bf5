"""What ``code/`` needs beyond the image: distributions, and files of the user's own."""
