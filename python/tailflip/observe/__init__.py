"""Eyes: they look and never touch."""
