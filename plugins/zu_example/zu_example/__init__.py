"""The tutorial's solver plugin."""
