"""Config: one frozen object of what an operator decides: file < environment < flags. Knows no HTTP.

The way of a configuration through the files::

    layers       a TOML file, the environment and flags become one tree, each value with its origin
    structure    the tree becomes the model, or a list of everything that is wrong with it
    load         both, and what is right alone and wrong together (consistency)
    build        the model becomes a ConsoleKit: providers, store, hooks by name
    show         the values in force for people, secrets masked (annotations: which those are)
    certificates, template    a look at the files of TLS, an example configuration
"""
