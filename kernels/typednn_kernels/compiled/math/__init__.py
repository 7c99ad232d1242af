"""How are exp, tanh and the like computed? Polynomials that LLVM vectorises."""
