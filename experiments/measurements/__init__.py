"""What measures gradients, speed and scaling."""
