"""The IPython magics: parse, call the library, show one thing, return one object."""
