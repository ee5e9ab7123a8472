"""A forward taken apart: which stages and kinds of operators its time goes to, and why."""
