"""Checks of gradients against central differences, of both paths, and of all that users train with."""

from typednn.gradient_checking.check import GradientCheck, GradientReport, gradcheck

__all__ = ["GradientCheck", "GradientReport", "gradcheck"]
