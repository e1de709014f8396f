FROM python:3.13-slim AS build
COPY . /src
RUN python -m venv /opt/server && /opt/server/bin/pip install --no-cache-dir /src

FROM python:3.13-slim
LABEL io.modelcontextprotocol.server.name="io.github.mcp-ollama-manager/mcp-ollama-manager" \
      org.opencontainers.image.source="https://github.com/mcp-ollama-manager/mcp-ollama-manager" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /opt/server /opt/server
RUN useradd --create-home --uid 1000 server
USER server
# The Ollama of the machine that the container runs on.
ENV MCP_OLLAMA_BASE_URL=http://host.docker.internal:11434
ENTRYPOINT ["/opt/server/bin/mcp-ollama-manager"]
