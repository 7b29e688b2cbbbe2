"""The small maps from an activation to the shared space: their forms, and the ways in which they are taught."""
