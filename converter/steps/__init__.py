"""The stages' bodies: each reads the artefacts of earlier ones and leaves its own. The mechanisms are beside this room."""
