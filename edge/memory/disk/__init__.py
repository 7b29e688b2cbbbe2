"""What lies in the state folder beside the database: raw content, a reserve, attempts, the clock."""
