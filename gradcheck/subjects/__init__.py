"""What is being verified, each kind made into a Subject."""
