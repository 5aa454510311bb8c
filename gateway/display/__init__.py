"""What the gateway shows by HTTP. The only user of aiohttp and prometheus-client, imported when it is asked for."""
