"""The hands: the only rooms that change the gateway's session stores, and can change them back."""
