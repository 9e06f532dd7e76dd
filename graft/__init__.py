"""Transfer-learning studies for image classification, as the library behind Graft's workflow."""

__version__ = "0.1.0"
