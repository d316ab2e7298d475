"""What people and programs are told: reads and sums up; never decides."""
