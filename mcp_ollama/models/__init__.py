"""What is known about models and done with them."""
