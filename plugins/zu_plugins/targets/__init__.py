"""Target-state builders: the outputs that a site shall have on the forget inputs."""
