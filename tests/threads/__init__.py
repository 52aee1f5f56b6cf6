"""Threads in which people ask why their model does not train, each rebuilt as a module of some twenty lines.

A file has the ``LINK``, a function ``build`` that makes the module, ``data`` that gives a batch and its target, what
``CHECK`` must find and ``WHERE``, and, where training shows the difference, ``STEPS`` of Adam at ``LR``.
"""
