"""How hyperparameters are searched: an Optuna study that several workers share, and that outlives each of them.

:mod:`space` suggests values, :mod:`samplers` builds what chooses and prunes, :mod:`storage` opens what holds the trials,
:mod:`search` deals them out, :mod:`workers` runs each in a process of its own, :mod:`trials` is what a trial of a network
does, and :mod:`outcome` says what came of all of them.
"""
