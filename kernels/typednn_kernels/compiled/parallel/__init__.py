"""How do threads share work? POSIX threads, atomics, a team for each call, and a pool that stays."""
