"""What the job and the functions agree on. Standard library only, so that Lambdas can import it."""
