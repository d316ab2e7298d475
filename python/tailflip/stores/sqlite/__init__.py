"""The SQLite engine: sessions as rows of an agent's database, changed in place while it stands."""
