"""What keeps streams. Each engine is a folder here; SQLite with tail files, on one machine, is the one there is."""
