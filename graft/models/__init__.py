"""The networks a study can name, one file per family, found by :mod:`graft.registry`.

A *network* takes ``(inputs, classes, *, options)`` and returns logits; a *backbone* takes ``(inputs, *, options)`` and
returns a feature map, to which :mod:`graft.finetune` adds a head. Both start from uint8 RGB and hold their own
preprocessing, so that a saved model needs nothing beside it. The framework is imported inside the functions: a study
is checked, and a report drawn, without one.
"""
