"""Is a gateway alive, how does it fare, which release is it? Looks and never touches."""
