"""Reports for people and programs: reads the record and the present state, and sums up."""
