"""Bytes in, bytes out, process exit: stdio and Streamable HTTP."""
