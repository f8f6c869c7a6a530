"""What is compiled: members on devices, runs over several devices and hosts."""
