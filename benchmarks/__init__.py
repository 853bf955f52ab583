"""Programs that measure and print tables; no test asserts a time."""
