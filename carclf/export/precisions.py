"""The precisions that a model can be exported in, by name."""

EXACT = "float32"
"""The arithmetic of predict."""
BF16 = "bf16"
"""Products of bfloat16, weights kept in float16."""
INT8 = "int8"
"""Weights of 8 bits; what goes from layer to layer is rounded to as many while it runs."""
