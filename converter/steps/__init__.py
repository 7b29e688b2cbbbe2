"""The stages' bodies: each reads what earlier ones left and leaves its own. The mechanisms are beside this room."""
