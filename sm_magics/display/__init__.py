"""What people see: pure functions from values to HTML and text."""
