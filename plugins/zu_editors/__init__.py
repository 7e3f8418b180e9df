"""The editors that ZeroUnlearn is compared with: ROME, MEMIT, AlphaEdit, EMMET, and the bare projection."""
