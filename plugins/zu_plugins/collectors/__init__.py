"""Representation collectors: which texts are read for a request, where, and what the site sees there."""
