"""What the pytest plugin does once there is something to verify; ``gradcheck.pytest_plugin`` is the door."""
