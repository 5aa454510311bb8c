"""The gateway's MQTT side: topics, payloads and their schemas, the outbox, and the link to the broker."""
