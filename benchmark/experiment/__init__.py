"""What is to be run: a request, a suite or a grid, resolved into cells; what is done of it and how long the rest takes."""
