"""`python -m mcp_ollama`."""

import sys

from mcp_ollama.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
