"""Formulas of one variable, made with sympy: the corpora of ``symbolic`` and ``symbolic_choice``.

A template is an identity (or something to differentiate or evaluate). Its letters are filled with numbers and
random expressions of x, and it is put into surroundings that both sides share. Exchanging two tokens of what was
filled in (two numbers, two functions, two signs) gives another formula of the very same tokens, and the template
gives its answer as well; sympy works out the numbers, and values at two dozen places tell whether two formulas are
equal. Each formula of such a group then stands beside each answer, so right and wrong rows have the same sides,
lengths and tokens. Operands of sums and products are reordered until the n-grams in which formulas differ are none
of those in which answers differ (in ``symbolic_choice``: few of those): shared characters tell nothing either.

Splits have templates and structures (trees without numbers, signs and order) of their own; no structure is asked
about in two groups. The split ``extrapolation`` has the templates of train and deeper trees than all others.
"""
