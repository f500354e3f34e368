"""Measuring answers: accuracy of any method on held-out clips of the synthetic world, with intervals, controls and failures apart."""
