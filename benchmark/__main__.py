"""`python -m benchmark`: the same as the `benchmark` command."""

from benchmark.cli import main

if __name__ == "__main__":
    main()
