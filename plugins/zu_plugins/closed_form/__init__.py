"""ZeroUnlearn (arXiv 2605.18879): the projected closed form, its local relaxation, and the null-space variant."""
