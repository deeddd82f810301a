"""Findings: one module per experiment analyses its stored result; figures, tables and the findings page show it."""
