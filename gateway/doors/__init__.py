"""Where clients come in: HTTP, WebSocket, webhooks, pages."""
