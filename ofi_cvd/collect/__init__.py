"""The recorder: a sans-IO session that decides, and a thin asyncio shell that does."""
