"""What the experiments say: one module per finding reads a kept result; figures, tables and page are made from it."""
