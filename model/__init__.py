"""What a step and a window are, and what the network makes of them. No Kafka, no asyncio."""
