"""RTMP: a sans-I/O protocol core and thin asyncio edges around it."""
