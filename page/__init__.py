"""The page in the browser: its files, the local server behind it, and the folder that runs without a server."""
