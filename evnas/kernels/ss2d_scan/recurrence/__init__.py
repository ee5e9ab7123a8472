"""A linear recurrence spread over the threads of a program, for the Triton scans."""
