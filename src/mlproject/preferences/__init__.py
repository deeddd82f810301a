"""Comparisons, labels and noise, Bradley-Terry training, calibration and metrics of reward models."""
