"""General text for background statistics: local files, and data sets of the hub."""
