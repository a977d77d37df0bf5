"""From a model variable and ``code/`` to ``model.tar.gz``."""
