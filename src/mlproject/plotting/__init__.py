"""Figures: colours, line styles, axes, legends, and the parts that figures of curves share."""
