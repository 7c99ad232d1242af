"""Computes exp, tanh, log and others as polynomials that LLVM vectorises."""
