"""The MCP server: tools, resources, prompts, consent and subscriptions."""
