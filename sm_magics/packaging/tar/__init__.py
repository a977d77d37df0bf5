"""The bytes of an archive: tar entries, gzip members, hashes, and putting a file in its place."""
