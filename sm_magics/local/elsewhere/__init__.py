"""The rest of AWS, from moto's server."""
