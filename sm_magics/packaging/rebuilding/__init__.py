"""Code that makes a module again, and whether it is the same one."""
