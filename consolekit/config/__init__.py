"""Config: one frozen object of what an operator decides: file < environment < flags. Knows no HTTP.

The way of a configuration through the files::

    layers       a TOML file, the environment and flags become one tree, each value with its origin
    structure    the tree becomes the model, or a list of everything that is wrong with it
    load         both, and what is right alone and wrong together (consistency)
    build        the model becomes a ConsoleKit: providers, store, hooks by name
    show         the tree for people, secrets masked
    certificates, template, keys    files looked at, an example file, API keys
"""
