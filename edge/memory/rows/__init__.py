"""What SQLite holds: the schema, and one module for each thing that is done to its rows."""
