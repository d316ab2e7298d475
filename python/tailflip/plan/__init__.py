"""Planning: functions that choose what is to be done; effects are in `stores`."""
